//! Batches that rely on a template are written only as long as it is the one that was read.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use keystile::{PermissionSet, ScopeTemplate, TemplateName};

use super::fixture::*;
use crate::error::StoreError;
use crate::store::Store;
use crate::template::{StoredTemplate, TemplateProblem};
use crate::template_version::TemplateVersion;

fn rights(permissions: &[&str]) -> ScopeTemplate {
    let name = TemplateName::new("pro").unwrap();
    ScopeTemplate::new(name, PermissionSet::new(permissions).unwrap())
}

fn is_stale(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Template(TemplateProblem::Stale)))
}

pub(super) async fn a_batch_may_rely_on_a_template<S: Store>(store: Arc<S>) {
    let first = StoredTemplate::new(rights(&["read"]), None, at(1));
    let second = first.changed(rights(&["write"]), None, at(2));
    let relied_on = TemplateVersion::of(&second).expect("no preset");
    let other = plain(1);
    insert(&*store, [&other]).await;
    let mut batch = updates([&next(&other)]);
    batch.template_unchanged = Some(relied_on.clone());
    let refused = store.commit(&batch).await;
    assert!(is_stale(&refused), "no such template: {refused:?}");
    store.save_template(&first).await.unwrap();
    store.save_template(&second).await.unwrap();
    let before = all_events(&*store).await;

    let older = TemplateVersion::of(&first);
    let (mut later, mut added_again, mut of_another) =
        (relied_on.clone(), relied_on.clone(), relied_on.clone());
    later.version += 1;
    added_again.created_at = at(3);
    of_another.name = TemplateName::new("plus").unwrap();
    let others = [later, added_again, of_another].map(Some);
    for wrong in others.into_iter().chain([older]) {
        batch.template_unchanged.clone_from(&wrong);
        let refused = store.commit(&batch).await;
        assert!(
            is_stale(&refused),
            "the template is not {wrong:?}: {refused:?}"
        );
        let found = find(&*store, &other.id).await.unwrap();
        assert_eq!(found.version, 1, "the template is not {wrong:?}");
        assert_eq!(all_events(&*store).await, before, "nothing is written");
        // It is the template that is named, even if the record is another one too.
        let mut both = updates([&next(&next(&other))]);
        both.template_unchanged = wrong;
        let refused = store.commit(&both).await;
        assert!(is_stale(&refused), "both are stale: {refused:?}");
    }
    let mut unnumbered = relied_on.clone();
    unnumbered.version = 0;
    batch.template_unchanged = Some(unnumbered);
    let refused = store.commit(&batch).await;
    assert!(
        matches!(refused, Err(StoreError::OutOfRange)),
        "a version of 0: {refused:?}"
    );

    batch.template_unchanged = Some(relied_on);
    store.commit(&batch).await.unwrap();
    assert_eq!(find(&*store, &other.id).await.unwrap().version, 2);
    let stored = store.template(second.name()).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&second), "it stays as it is");
    let mut stale = batch;
    stale.events.clear();
    let stale = noted(stale);
    let refused = store.commit(&stale).await;
    assert!(
        matches!(refused, Err(StoreError::Stale)),
        "only the record is stale: {refused:?}"
    );
    store.remove_template(second.name(), None).await.unwrap();
    let refused = store.commit(&stale).await;
    assert!(is_stale(&refused), "it was removed: {refused:?}");
}

/// Writers rely on a template, as many who apply it at once. After a change of it was made, none of
/// them writes.
pub(super) async fn no_batch_is_written_after_its_template_was_changed<S: Store + 'static>(
    store: Arc<S>,
) {
    let mut template = StoredTemplate::new(rights(&["p0"]), None, at(0));
    store.save_template(&template).await.unwrap();
    insert(&*store, [&plain(1), &plain(2), &plain(3)]).await;
    for round in 1..=10 {
        let written = Arc::new(AtomicU64::new(0));
        let is_changed = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (1..=3)
            .map(|number| {
                let (store, relied_on) = (Arc::clone(&store), TemplateVersion::of(&template));
                let (written, is_changed) = (Arc::clone(&written), Arc::clone(&is_changed));
                tokio::spawn(async move {
                    loop {
                        let read = find(&*store, &id(number)).await.expect("it is there");
                        let mut batch = updates([&next(&read)]);
                        batch.template_unchanged.clone_from(&relied_on);
                        let begins_later = is_changed.load(Ordering::SeqCst);
                        match store.commit(&batch).await {
                            Ok(()) => assert!(!begins_later, "the template was changed before"),
                            refused if is_stale(&refused) => return,
                            refused => panic!("expected a stale template: {refused:?}"),
                        }
                        written.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        while written.load(Ordering::SeqCst) < 3 && !writers.iter().any(|one| one.is_finished()) {
            tokio::task::yield_now().await;
        }
        let name = format!("p{round}");
        template = template.changed(rights(&[&name]), None, at(round));
        store.save_template(&template).await.unwrap();
        let last = store.last_event().await.unwrap();
        is_changed.store(true, Ordering::SeqCst);
        for writer in writers {
            writer
                .await
                .expect("a writer stops when the template is another one");
        }
        assert_eq!(
            store.last_event().await.unwrap(),
            last,
            "nothing is written after the template was changed"
        );
    }
}
