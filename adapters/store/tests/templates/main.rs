//! Templates: what a changed one does to its keys, many keys changed at once, and damaged rows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod own;
mod rows;

use std::sync::Arc;

use keystile::{
    ErrorKind, IssueRequest, Issued, Issuer, KeyChange, KeyFormat, LifetimePolicy, Millis,
    PermissionSet, RateLimit, Request, Requirement, ScopeTemplate, SysRng, TemplateName,
    UnixMillis, Verifier,
};
use keystile_store::{
    Authenticator, DerivedProblem, FORMER_TEMPLATES_MAX, Filter, MemoryStore, OfDerived, Page,
    Selection, Store, StoreError, StoredTemplate, TemplateKeys, TemplateProblem, add_template,
    change, change_template, delegate, find_template, record, remove_template, revoke, save_issued,
};

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

fn named(name: &str) -> TemplateName {
    TemplateName::new(name).unwrap()
}

fn rights(permissions: &[&str]) -> ScopeTemplate {
    ScopeTemplate::new(named("pro"), PermissionSet::new(permissions).unwrap())
}

fn limit(number: u32) -> RateLimit {
    RateLimit::new(number, Millis::from_secs(1)).unwrap()
}

async fn issued(store: &impl Store, template: &StoredTemplate, rate: Option<u32>) -> Issued {
    let request = IssueRequest::new("Acme").unwrap();
    let request = template.request(request).unwrap();
    let request = request.rate_limit(rate.map(limit));
    let issued = issuer().issue(&request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

async fn keys(store: &impl Store, template: &StoredTemplate) -> TemplateKeys {
    TemplateKeys::page(store, template, Page::first(100), at(9))
        .await
        .unwrap()
}

async fn grants(store: &impl Store, issued: &Issued, right: &str) -> bool {
    let found = record(store, &issued.record.id).await.unwrap();
    found.permissions.grants(right)
}

#[tokio::test]
async fn keys_of_any_earlier_state_get_the_new_rights() {
    let store = MemoryStore::new();
    let first = add_template(&store, rights(&["a"]), None, at(0))
        .await
        .unwrap();
    let old = issued(&store, &first, None).await;
    let second = change_template(&store, &first, rights(&["b"]), None, at(1));
    let second = second.await.unwrap();
    let newer = issued(&store, &second, None).await;
    let third = change_template(&store, &second, rights(&["c"]), None, at(2));
    let third = third.await.unwrap();

    let page = keys(&store, &third).await;
    assert_eq!((page.due.len(), page.own.len()), (2, 0));
    let applied = page.apply(&store, OfDerived::Refuse, at(9)).await;
    assert_eq!(applied.count(), 2);
    assert!(grants(&store, &old, "c").await && grants(&store, &newer, "c").await);
    assert!(!grants(&store, &old, "a").await);

    // The same rights under another lifetime are no earlier state, and nothing is nothing.
    let longer = change_template(&store, &third, rights(&["c"]), Some(Millis::new(1)), at(3));
    let longer = longer.await.unwrap();
    assert_eq!((longer.version, longer.former.len()), (4, 2));
    let same = change_template(&store, &longer, rights(&["c"]), Some(Millis::new(1)), at(4));
    assert_eq!(same.await.unwrap(), longer);
    let stale = change_template(&store, &third, rights(&["d"]), None, at(5)).await;
    let stale = stale.unwrap_err();
    assert!(
        matches!(stale, StoreError::Template(TemplateProblem::Stale)),
        "{stale}"
    );
}

#[tokio::test]
async fn earlier_states_are_bounded() {
    let store = MemoryStore::new();
    let mut template = add_template(&store, rights(&["p0"]), None, at(0))
        .await
        .unwrap();
    let oldest = issued(&store, &template, None).await;
    for number in 1..=FORMER_TEMPLATES_MAX + 1 {
        let next = rights(&[&format!("p{number}")]);
        template = change_template(&store, &template, next, None, at(1))
            .await
            .unwrap();
    }
    assert_eq!(template.former.len(), FORMER_TEMPLATES_MAX);
    // What is not known any more counts as its own: it is not given more silently.
    let page = keys(&store, &template).await;
    assert_eq!(
        (page.due.len(), page.own.len(), page.exceeding()),
        (0, 1, 1)
    );
    assert_eq!(page.own[0].id, oldest.record.id);
}

#[tokio::test]
async fn rights_of_its_own_stay_unless_they_are_taken() {
    let store = MemoryStore::new();
    let mut template = rights(&["read"]);
    template.rate_limit = Some(limit(100));
    let pro = add_template(&store, template.clone(), None, at(0))
        .await
        .unwrap();
    let (usual, own) = (
        issued(&store, &pro, None).await,
        issued(&store, &pro, Some(5)).await,
    );
    let gone = issued(&store, &pro, None).await;
    revoke(&store, &gone.record.id, "left", at(1))
        .await
        .unwrap();
    template.rate_limit = Some(limit(1));
    let pro = change_template(&store, &pro, template, None, at(2))
        .await
        .unwrap();
    let page = keys(&store, &pro).await;
    assert_eq!(page.due[0].id, usual.record.id);
    assert_eq!((page.own[0].id, page.exceeding()), (own.record.id, 1));

    // Changed by hand between the page and the write: it has rights of its own by then.
    let by_hand = KeyChange::new().permissions(PermissionSet::new([""; 0]).unwrap());
    change(&store, &usual.record.id, &by_hand, at(3))
        .await
        .unwrap();
    let applied = page.apply(&store, OfDerived::Refuse, at(9)).await;
    assert!(applied.changed.is_empty() && applied.failed.is_empty());

    let all = keys(&store, &pro).await.take_own();
    assert_eq!(all.apply(&store, OfDerived::Refuse, at(9)).await.count(), 2);
    assert!(grants(&store, &usual, "read").await);
    let found = record(&store, &own.record.id).await.unwrap();
    assert_eq!(found.rate_limit, Some(limit(1)));
}

#[tokio::test]
async fn derived_keys_hold_back_only_their_own_sources() {
    let store = MemoryStore::new();
    let pro = add_template(&store, rights(&["read", "write"]), None, at(0));
    let pro = pro.await.unwrap();
    let (source, free) = (
        issued(&store, &pro, None).await,
        issued(&store, &pro, None).await,
    );
    let request = IssueRequest::new("Shop")
        .unwrap()
        .permissions(["write"])
        .unwrap();
    let shop = delegate(
        &store,
        &source.record.id,
        &issuer(),
        &request,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    let less = change_template(&store, &pro, rights(&["read"]), None, at(2))
        .await
        .unwrap();

    let page = keys(&store, &less).await;
    for ended in [
        page.would_apply(&store, OfDerived::Refuse, at(9)).await,
        page.apply(&store, OfDerived::Refuse, at(9)).await,
    ] {
        assert_eq!(ended.changed, [free.record.id], "the rest goes on");
        let [(id, StoreError::Derived(DerivedProblem::WouldExceed(keys)))] = &ended.failed[..]
        else {
            panic!("{:?}", ended.failed);
        };
        assert_eq!((*id, &keys[..]), (source.record.id, &[shop.record.id][..]));
    }
    // Later, only what is left.
    let rest = keys(&store, &less).await;
    assert_eq!((rest.due.len(), rest.current), (1, 1));
    let planned = rest.would_apply(&store, OfDerived::Revoke, at(9)).await;
    assert_eq!(planned.derived, [shop.record.id], "what would end with it");
    assert!(
        record(&store, &shop.record.id)
            .await
            .unwrap()
            .is_live(at(9))
    );
    let applied = rest.apply(&store, OfDerived::Revoke, at(9)).await;
    assert_eq!(
        (applied.changed.len(), &applied.derived[..]),
        (1, &[shop.record.id][..])
    );
    assert!(
        !record(&store, &shop.record.id)
            .await
            .unwrap()
            .is_live(at(9))
    );
}

#[tokio::test]
async fn a_derived_key_of_a_template_gets_no_more_than_its_source() {
    let store = MemoryStore::new();
    let source = IssueRequest::new("Acme")
        .unwrap()
        .permissions(["read"])
        .unwrap();
    let source = issuer().issue(&source, &mut SysRng, at(0)).unwrap();
    save_issued(&store, &source).await.unwrap();
    let pro = add_template(&store, rights(&["read"]), None, at(0))
        .await
        .unwrap();
    let request = pro.request(IssueRequest::new("Shop").unwrap()).unwrap();
    let derived = delegate(
        &store,
        &source.record.id,
        &issuer(),
        &request,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    let more = change_template(&store, &pro, rights(&["read", "write"]), None, at(2));
    let page = keys(&store, &more.await.unwrap()).await;
    let applied = page.apply(&store, OfDerived::Refuse, at(9)).await;
    assert!(applied.changed.is_empty());
    assert!(
        matches!(
            &applied.failed[..],
            [(id, StoreError::Derived(DerivedProblem::ExceedsSource))] if *id == derived.record.id
        ),
        "P4: {:?}",
        applied.failed
    );
    assert!(!grants(&store, &derived, "write").await);
}

#[tokio::test]
async fn presets_cannot_be_changed_or_removed() {
    let store = MemoryStore::new();
    let admin = find_template(&store, &named("admin")).await.unwrap();
    assert!(admin.is_preset());
    for refused in [
        add_template(&store, admin.template.clone(), None, at(0)).await,
        change_template(&store, &admin, rights(&["*"]), None, at(0)).await,
        remove_template(&store, &named("admin"), None)
            .await
            .map(|()| admin.clone()),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, StoreError::Template(TemplateProblem::Preset)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn an_authenticator_issues_from_a_template_and_applies_it() {
    let store = Arc::new(MemoryStore::new());
    let verifier = Verifier::new(KeyFormat::structured("acme").unwrap());
    let policy = LifetimePolicy::new(Millis::from_days(1), Some(Millis::from_days(20))).unwrap();
    let authenticator = Authenticator::builder(Arc::clone(&store), verifier);
    let authenticator = authenticator.lifetimes(policy).build().unwrap();
    let month = Some(Millis::from_days(30));
    let pro = add_template(&*store, rights(&["read"]), month, at(0))
        .await
        .unwrap();
    let (name, issuer, now) = (named("pro"), issuer(), at(1));
    let request = IssueRequest::new("Acme").unwrap();
    let issue = async |request: &IssueRequest| {
        authenticator
            .issue_from(&name, &issuer, request, &mut SysRng, now)
            .await
    };
    let key = issue(&request).await.unwrap();
    assert_eq!(
        key.record.lifetime,
        Some(Millis::from_days(20)),
        "the policy narrows it"
    );
    let less = request.clone().expires_in(Millis::from_days(2)).unwrap();
    assert_eq!(
        issue(&less).await.unwrap().record.lifetime,
        Some(Millis::from_days(2))
    );
    let longer = request.clone().expires_in(Millis::from_days(31)).unwrap();
    let StoreError::Refused(refused) = issue(&longer).await.unwrap_err() else {
        panic!("longer than the template");
    };
    assert!(matches!(
        refused.kind(),
        ErrorKind::Time | ErrorKind::Exceeds
    ));
    let more = request.clone().permissions(["write"]).unwrap();
    assert!(issue(&more).await.is_err(), "P4: more than the template");
    let unknown = authenticator
        .issue_from(&named("plus"), &issuer, &request, &mut SysRng, now)
        .await
        .unwrap_err();
    assert!(matches!(
        unknown,
        StoreError::Template(TemplateProblem::NotFound)
    ));

    let write = Requirement::parse("write").unwrap();
    let asks = Request::new().requires(&write);
    let text = key.key.expose().as_bytes();
    assert!(
        !authenticator
            .check(text, &asks, at(2))
            .await
            .decision
            .is_allow()
    );
    let pro = change_template(&*store, &pro, rights(&["read", "write"]), month, at(3));
    let page = keys(&*store, &pro.await.unwrap()).await;
    let applied = authenticator
        .apply_template(&page, OfDerived::Refuse, at(4))
        .await;
    assert_eq!(applied.count(), 2);
    assert!(
        authenticator
            .check(text, &asks, at(5))
            .await
            .decision
            .is_allow(),
        "in force"
    );
}

#[tokio::test]
async fn many_keys_are_changed_and_the_refused_ones_are_named() {
    let store = MemoryStore::new();
    let mut ids = Vec::new();
    for permissions in [&["read", "write"][..], &["read"]] {
        let request = IssueRequest::new("Acme")
            .unwrap()
            .owner("tenant-7")
            .unwrap();
        let request = request.permissions(permissions).unwrap();
        let issued = issuer().issue(&request, &mut SysRng, at(0)).unwrap();
        save_issued(&store, &issued).await.unwrap();
        ids.push(issued.record.id);
    }
    let less = KeyChange::new().remove_permissions(PermissionSet::new(["write"]).unwrap());
    let filter = Filter::of_owner("tenant-7");
    let page = Selection::to_change(&store, &filter, Page::first(9), at(1))
        .await
        .unwrap();
    assert_eq!(page.keys.len(), 2);
    // Given away between the page and the write.
    let away = KeyChange::new().owner("tenant-8").unwrap();
    for ended in [
        page.would_change(&store, &less, OfDerived::Refuse, at(2))
            .await,
        page.change(&store, &less, OfDerived::Refuse, at(2)).await,
    ] {
        assert_eq!(ended.changed, [ids[0]]);
        assert_eq!(ended.failed.len(), 1, "one has no such permission");
        assert_eq!(ended.failed[0].0, ids[1]);
    }
    change(&store, &ids[1], &away, at(3)).await.unwrap();
    let slower = KeyChange::new().rate_limit(limit(1));
    let ended = page.change(&store, &slower, OfDerived::Refuse, at(4)).await;
    assert_eq!((&ended.changed[..], ended.failed.len()), (&[ids[0]][..], 0));
    assert!(record(&store, &ids[1]).await.unwrap().rate_limit.is_none());
}
