//! The removal of a key: only from the version before, with an event, and for good.

use std::sync::Arc;

use keystile::{Event, EventKind, Status};

use super::fixture::*;
use crate::batch::Batch;
use crate::error::StoreError;
use crate::event_filter::EventFilter;
use crate::filter::Filter;
use crate::list::Page;
use crate::store::Store;

pub(super) async fn a_key_is_removed<S: Store>(store: Arc<S>) {
    let ended = revoked(&plain(1), "leaked");
    insert(&*store, [&plain(1), &plain(2), &plain(3)]).await;
    store.commit(&updates([&ended])).await.unwrap();
    let page = store
        .list(&Filter::default(), Page::first(1))
        .await
        .unwrap();
    let removal = Batch::of_delete(&ended, at(9)).unwrap();

    let mut silent = removal.clone();
    silent.events.clear();
    let refused = store.commit(&silent).await;
    assert!(
        matches!(refused, Err(StoreError::WithoutEvent)),
        "a removal without an event"
    );
    let mut older = Batch::new();
    older.deletes = vec![(id(1), 2)];
    older.events = vec![Event::new(EventKind::Deleted, id(1), at(9)).with_version(2)];
    let stale = store.commit(&older).await;
    assert!(
        matches!(stale, Err(StoreError::Stale)),
        "a removal of an older version: {stale:?}"
    );
    assert!(
        find(&*store, &id(1)).await.is_some(),
        "a refused removal removes nothing"
    );

    store.commit(&removal).await.unwrap();
    assert!(
        find(&*store, &id(1)).await.is_none(),
        "a removed key is not found"
    );
    assert!(
        store.lineage(&id(1)).await.unwrap().records.is_empty(),
        "of a removed key"
    );
    let all = store
        .list(&Filter::default(), Page::first(9))
        .await
        .unwrap();
    assert_eq!(all.records.len(), 2, "a removed key is not listed");
    let rest = Page::first(9).after(page.next.unwrap());
    let rest = store.list(&Filter::default(), rest).await.unwrap();
    assert_eq!(
        rest.records.len(),
        2,
        "a list goes on after a key that was removed"
    );
    let events = store.events(Some(&id(1)), 0, 9).await.unwrap().events;
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(
        kinds.last(),
        Some(&EventKind::Deleted),
        "the events of a removed key stay, and the last one says so once: {kinds:?}"
    );
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == EventKind::Deleted)
            .count(),
        1
    );

    // Neither its digest nor its id is ever live again.
    let mut again = plain(7);
    again.digest = digest(1);
    for record in [again, plain(1)] {
        let inserted = store.commit(&inserts([&record])).await;
        let found = find(&*store, &record.id).await;
        let is_live = found.is_some_and(|found| !matches!(found.status, Status::Revoked { .. }));
        assert!(
            !is_live,
            "P2: a digest that was revoked is live again: {inserted:?}"
        );
    }
}

/// P2: not only the last digest of a key is refused.
pub(super) async fn a_former_digest_of_a_removed_key_stays_refused<S: Store>(store: Arc<S>) {
    insert(&*store, [&plain(1)]).await;
    let mut renewed = next(&plain(1));
    renewed.digest = digest(11);
    store.commit(&updates([&renewed])).await.unwrap();
    let ended = revoked(&renewed, "leaked");
    store.commit(&updates([&ended])).await.unwrap();
    for removes in [false, true] {
        if removes {
            let removal = Batch::of_delete(&ended, at(9)).unwrap();
            store.commit(&removal).await.unwrap();
        }
        for used in [1, 11] {
            let mut again = plain(20 + used + 100 * u64::from(removes));
            again.digest = digest(used);
            let inserted = store.commit(&inserts([&again])).await;
            let found = find(&*store, &again.id).await;
            let is_live =
                found.is_some_and(|found| !matches!(found.status, Status::Revoked { .. }));
            assert!(
                !is_live,
                "P2: digest {used} is live again, removed: {removes}: {inserted:?}"
            );
        }
    }
}

/// What only expired may come again, with versions that no process has read.
pub(super) async fn an_expired_key_that_was_removed_can_be_inserted_again<S: Store>(store: Arc<S>) {
    let mut expired = plain(1);
    expired.expires_at = Some(at(5));
    insert(&*store, [&expired, &plain(2)]).await;
    let removal = Batch::of_delete(&expired, at(9)).unwrap();
    store.commit(&removal).await.unwrap();
    store.commit(&inserts([&plain(1)])).await.unwrap();
    let found = find(&*store, &id(1)).await.unwrap();
    assert_eq!(found.status, Status::Active);
    assert!(found.version > 2, "after its removal: {}", found.version);
    let events = all_events(&*store).await;
    let mut of_key = events.iter().filter(|event| event.key_id == Some(id(1)));
    assert!(
        of_key.any(|event| event.version == Some(found.version)),
        "who has read the removed key is told of its new version: {events:?}"
    );
    let all = store
        .list(&Filter::default(), Page::first(9))
        .await
        .unwrap();
    let ids: Vec<_> = all.records.iter().map(|record| record.id).collect();
    assert_eq!(ids, [id(2), id(1)]);
    let lineage = store.lineage(&id(1)).await.unwrap().records;
    assert_eq!(lineage, [found], "only once");
}

/// Who it belonged to may still read what happened to it.
pub(super) async fn events_of_a_removed_key_stay_with_its_owner<S: Store>(store: Arc<S>) {
    let mut owned = plain(1);
    owned.owner = Some("tenant-7".into());
    let mut other = plain(2);
    other.owner = Some("Tenant-7".into());
    insert(&*store, [&owned, &other]).await;
    for record in [&owned, &other] {
        let ended = revoked(record, "leaked");
        store.commit(&updates([&ended])).await.unwrap();
        let removal = Batch::of_delete(&ended, at(9)).unwrap();
        store.commit(&removal).await.unwrap();
    }
    let filter = EventFilter::new().owner("tenant-7");
    let listed = store.list_events(&filter, 0, 9).await.unwrap().events;
    assert!(
        listed.len() >= 3,
        "events of an owner, whose key was removed: {listed:?}"
    );
    let is_own = |event: &Event| event.key_id == Some(id(1));
    assert!(
        listed.iter().all(|(_, event)| is_own(event)),
        "events of an owner, whose key was removed: {listed:?}"
    );
    let last = listed.last().map(|(_, event)| event.kind);
    assert_eq!(last, Some(EventKind::Deleted));
}
