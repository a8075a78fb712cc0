//! Templates: stored as they are, by version, and never in the place of a preset.

use std::sync::Arc;

use keystile::{EndpointRules, Millis, PermissionSet, RateLimit, ScopeTemplate, TemplateName};

use super::fixture::*;
use crate::OfDerived;
use crate::error::StoreError;
use crate::list::Page;
use crate::store::Store;
use crate::template::{StoredTemplate, TemplateProblem};
use crate::template_keys::TemplateKeys;

fn named(name: &str) -> TemplateName {
    TemplateName::new(name).unwrap()
}

fn rights(name: &str, permissions: &[&str]) -> ScopeTemplate {
    ScopeTemplate::new(named(name), PermissionSet::new(permissions).unwrap())
}

/// A template with every optional field.
fn whole(name: &str) -> StoredTemplate {
    let mut template = rights(name, &["read", "invoices:*"]);
    template.rate_limit = Some(RateLimit::with_burst(100, Millis::from_secs(60), 7).unwrap());
    template.allowed_endpoints = Some(EndpointRules::new(["GET /api/*"]).unwrap());
    StoredTemplate::new(template, Some(Millis::new(1_234)), at(1))
}

fn problem(result: Result<(), StoreError>) -> Option<TemplateProblem> {
    match result {
        Err(StoreError::Template(problem)) => Some(problem),
        _ => None,
    }
}

pub(super) async fn a_template_comes_back_as_it_was<S: Store>(store: Arc<S>) {
    let mut nowhere = rights("nowhere", &[]);
    nowhere.allowed_endpoints = Some(EndpointRules::new::<[&str; 0]>([]).unwrap());
    let bare = StoredTemplate::new(nowhere, None, at(3));
    let changed = whole("pro").changed(rights("pro", &["read"]), None, at(5));
    store.save_template(&whole("pro")).await.unwrap();
    store.save_template(&bare).await.unwrap();
    let stored = store.template(&named("pro")).await.unwrap();
    assert_eq!(
        stored,
        Some(whole("pro")),
        "a template is returned as it was saved"
    );
    let stored = store.template(&named("nowhere")).await.unwrap();
    assert_eq!(stored, Some(bare), "an empty list is not none");
    store.save_template(&changed).await.unwrap();
    let stored = store.template(&named("pro")).await.unwrap();
    assert_eq!(
        stored,
        Some(changed),
        "a changed template has its earlier states"
    );
    let unknown = store.template(&named("unknown")).await.unwrap();
    assert_eq!(unknown, None, "an unknown template");
}

pub(super) async fn a_template_is_added_once<S: Store>(store: Arc<S>) {
    store.save_template(&whole("pro")).await.unwrap();
    let again = StoredTemplate::new(rights("pro", &["*"]), None, at(9));
    let refused = problem(store.save_template(&again).await);
    assert_eq!(
        refused,
        Some(TemplateProblem::Exists),
        "a template is added twice"
    );
    let stored = store.template(&named("pro")).await.unwrap();
    assert_eq!(
        stored,
        Some(whole("pro")),
        "what was refused changes nothing"
    );

    let preset = StoredTemplate::new(rights("monitoring", &["*"]), None, at(9));
    let refused = problem(store.save_template(&preset).await);
    assert_eq!(
        refused,
        Some(TemplateProblem::Preset),
        "a template with the name of a preset"
    );
    let mut unnumbered = whole("plus");
    unnumbered.version = 0;
    let refused = store.save_template(&unnumbered).await;
    assert!(
        matches!(refused, Err(StoreError::OutOfRange)),
        "a version of 0: {refused:?}"
    );
}

pub(super) async fn a_template_is_replaced_from_the_version_before<S: Store>(store: Arc<S>) {
    let first = whole("pro");
    let second = first.changed(rights("pro", &["read"]), None, at(5));
    let unknown = problem(store.save_template(&second).await);
    assert_eq!(
        unknown,
        Some(TemplateProblem::Stale),
        "a change of no template"
    );
    store.save_template(&first).await.unwrap();
    store.save_template(&second).await.unwrap();
    let other = first.changed(rights("pro", &["*"]), None, at(6));
    let stale = problem(store.save_template(&other).await);
    assert_eq!(
        stale,
        Some(TemplateProblem::Stale),
        "a change of an older template"
    );
    let stored = store.template(&named("pro")).await.unwrap();
    assert_eq!(
        stored.as_ref(),
        Some(&second),
        "a refused change changes nothing"
    );

    // One that was removed and added again is another one, with the same versions.
    store.remove_template(&named("pro"), None).await.unwrap();
    let mut again = whole("pro");
    (again.created_at, again.changed_at) = (at(7), at(7));
    store.save_template(&again).await.unwrap();
    let stale = problem(store.save_template(&second).await);
    assert_eq!(
        stale,
        Some(TemplateProblem::Stale),
        "a change of a removed template"
    );
    let stale = problem(store.remove_template(&named("pro"), Some(&first)).await);
    assert_eq!(
        stale,
        Some(TemplateProblem::Stale),
        "a removal of a removed template"
    );
}

pub(super) async fn a_template_is_removed<S: Store>(store: Arc<S>) {
    let second = whole("pro").changed(rights("pro", &["read"]), None, at(5));
    store.save_template(&whole("pro")).await.unwrap();
    store.save_template(&second).await.unwrap();
    let stale = problem(
        store
            .remove_template(&named("pro"), Some(&whole("pro")))
            .await,
    );
    assert_eq!(
        stale,
        Some(TemplateProblem::Stale),
        "a removal of an older template"
    );
    assert!(
        store.template(&named("pro")).await.unwrap().is_some(),
        "a refused removal removes nothing"
    );
    store
        .remove_template(&named("pro"), Some(&second))
        .await
        .unwrap();
    assert_eq!(
        store.template(&named("pro")).await.unwrap(),
        None,
        "a removed template"
    );
    let gone = problem(store.remove_template(&named("pro"), None).await);
    assert_eq!(
        gone,
        Some(TemplateProblem::NotFound),
        "a removal of no template"
    );
}

pub(super) async fn templates_are_listed_by_name<S: Store>(store: Arc<S>) {
    // In the order of bytes, and not that of a language.
    let names = ["a", "a-b", "a0", "a_b", "ab", "b"];
    for name in ["b", "a_b", "ab", "a", "a0", "a-b"] {
        store.save_template(&whole(name)).await.unwrap();
    }
    for limit in [1, 2, 3, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_templates(after.as_deref(), limit).await.unwrap();
            assert!(
                page.templates.len() <= limit,
                "templates in a page of {limit}"
            );
            assert!(page.damaged.is_empty());
            listed.extend(page.templates.iter().map(|it| it.name().to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, names, "each template once, in pages of {limit}");
    }
}

pub(super) async fn a_changed_template_reaches_its_keys<S: Store>(store: Arc<S>) {
    let old = StoredTemplate::new(rights("pro", &["read"]), None, at(1));
    store.save_template(&old).await.unwrap();
    let of = |number: u64, permissions: &[&str]| {
        let mut record = plain(number);
        record.scope_type = Some(named("pro"));
        record.permissions = PermissionSet::new(permissions).unwrap();
        record
    };
    let (usual, narrow) = (of(1, &["read"]), of(2, &[]));
    let mut other = of(3, &["read"]);
    other.scope_type = Some(named("plus"));
    insert(&*store, [&usual, &narrow, &other]).await;
    let new = old.changed(rights("pro", &["read", "write"]), None, at(5));
    store.save_template(&new).await.unwrap();

    let page = Page::first(100);
    let keys = TemplateKeys::page(&*store, &new, page, at(6))
        .await
        .unwrap();
    assert_eq!(
        (keys.due.len(), keys.own.len()),
        (1, 1),
        "keys of a template"
    );
    let planned = keys.would_apply(&*store, OfDerived::Refuse, at(6)).await;
    assert_eq!(planned.changed, [usual.id]);
    let before = find(&*store, &usual.id).await.unwrap();
    assert_eq!(before.version, usual.version, "a plan changes nothing");
    let applied = keys.apply(&*store, OfDerived::Refuse, at(6)).await;
    assert_eq!(applied.changed, [usual.id]);
    for (record, grants) in [(&usual, true), (&narrow, false), (&other, false)] {
        let found = find(&*store, &record.id).await.unwrap();
        assert_eq!(found.permissions.grants("write"), grants, "{}", record.id);
    }
    let keys = TemplateKeys::page(&*store, &new, page, at(7))
        .await
        .unwrap();
    assert_eq!((keys.due.len(), keys.current), (0, 1), "applied again");
    let applied = keys
        .take_own()
        .apply(&*store, OfDerived::Refuse, at(7))
        .await;
    assert_eq!(applied.changed, [narrow.id]);
}
