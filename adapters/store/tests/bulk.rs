//! Many keys at once: what a selection changes, what it passes over, and what it names.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "this is a test"
)]

use keystile::{Event, EventKind, IssueRequest, Issuer, KeyChange, KeyFormat, KeyId, SysRng};
use keystile::{KeyRecord, Status, UnixMillis};
use keystile_store::{
    Batch, DerivedProblem, Filter, MemoryStore, Page, Permit, Reach, Selection, Store, StoreError,
    change, count_ended_before, delegate, delete, delete_if, prune_keys, record, revoke, revoke_if,
    save_issued, suspend_if,
};

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

fn request(owner: &str) -> IssueRequest {
    IssueRequest::new("Acme").unwrap().owner(owner).unwrap()
}

async fn issued(store: &MemoryStore, owner: &str) -> KeyId {
    let issued = issuer().issue(&request(owner), &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued.record.id
}

async fn is_revoked(store: &MemoryStore, id: &KeyId) -> bool {
    let found = record(store, id).await.unwrap();
    matches!(found.status, Status::Revoked { .. })
}

async fn of_owner(store: &MemoryStore, owner: &str) -> Selection {
    let filter = Filter::of_owner(owner);
    Selection::to_revoke(store, &filter, Page::first(100))
        .await
        .unwrap()
}

/// A key of which no later version can be stored, so that no verb can change it.
async fn stuck(store: &MemoryStore, owner: &str) -> KeyId {
    let issued = issuer().issue(&request(owner), &mut SysRng, at(0)).unwrap();
    let mut record: KeyRecord = issued.record;
    record.version = i64::MAX.unsigned_abs();
    let event = Event::new(EventKind::Imported, record.id, at(0)).with_version(record.version);
    let mut batch = Batch::new();
    batch.inserts.push(record.clone());
    batch.events.push(event);
    store.commit(&batch).await.unwrap();
    record.id
}

#[tokio::test]
async fn a_key_that_cannot_be_changed_is_named_and_stops_nothing() {
    let store = MemoryStore::new();
    let first = issued(&store, "a").await;
    let stuck = stuck(&store, "a").await;
    let last = issued(&store, "a").await;
    let selection = of_owner(&store, "a").await;
    let ended = selection.revoke(&store, "left", Reach::Last, at(1)).await;
    assert_eq!(ended.changed, [first, last]);
    let failed: Vec<_> = ended.failed.iter().map(|(id, _)| *id).collect();
    assert_eq!((failed, ended.stopped_by.is_none()), (vec![stuck], true));
    // What is refused for another reason than the state of the key is no success either.
    issued(&store, "b").await;
    let selection = of_owner(&store, "b").await;
    let long = "x".repeat(300);
    let ended = selection.revoke(&store, &long, Reach::Last, at(1)).await;
    assert_eq!((ended.count(), ended.failed.len()), (0, 1));
}

#[tokio::test]
async fn a_key_that_was_moved_or_ended_meanwhile_is_passed_over() {
    let store = MemoryStore::new();
    let (moved, gone) = (issued(&store, "a").await, issued(&store, "a").await);
    let (done, left) = (issued(&store, "a").await, issued(&store, "a").await);
    let selection = of_owner(&store, "a").await;
    let to_b = KeyChange::new().owner(Some("b")).unwrap();
    change(&store, &moved, &to_b, at(1)).await.unwrap();
    revoke(&store, &gone, "x", at(1)).await.unwrap();
    delete(&store, &gone, at(2)).await.unwrap();
    revoke(&store, &done, "x", at(1)).await.unwrap();
    let suspended = selection.suspend(&store, at(3)).await;
    assert_eq!(suspended.changed, [left]);
    let ended = selection.revoke(&store, "left", Reach::Last, at(3)).await;
    assert_eq!(ended.changed, [left]);
    assert!(ended.failed.is_empty(), "{:?}", ended.failed);
    assert!(!is_revoked(&store, &moved).await, "it is another owner's");
}

#[tokio::test]
async fn derived_keys_are_reached_and_are_no_error_on_a_later_page() {
    let store = MemoryStore::new();
    let source = issued(&store, "a").await;
    let (issuer, request) = (issuer(), request("a"));
    let own = delegate(&store, &source, &issuer, &request, &mut SysRng, at(1)).await;
    let own = own.unwrap().record.id;
    let filter = Filter::of_owner("a");
    let mut page = Some(Page::first(1));
    let (mut changed, mut derived) = (Vec::new(), Vec::new());
    while let Some(current) = page {
        let selection = Selection::to_revoke(&store, &filter, current)
            .await
            .unwrap();
        page = selection.next.map(|next| current.after(next));
        let ended = selection.revoke(&store, "left", Reach::Last, at(2)).await;
        assert!(ended.failed.is_empty() && ended.stopped_by.is_none());
        changed.extend(ended.changed);
        derived.extend(ended.derived);
    }
    assert_eq!((changed, derived), (vec![source], vec![own]));
}

#[tokio::test]
async fn a_verb_asks_about_the_state_that_it_replaces() {
    let store = MemoryStore::new();
    let id = issued(&store, "a").await;
    let not_b: &Permit<'_> =
        &|found| found.is_ok_and(|record| record.owner.as_deref() == Some("b"));
    let revoked = revoke_if(&store, &id, "x", Reach::Last, at(1), not_b).await;
    assert!(matches!(revoked, Err(StoreError::NotFound)));
    let suspended = suspend_if(&store, &id, Reach::Last, at(1), not_b).await;
    assert!(matches!(suspended, Err(StoreError::NotFound)));
    revoke(&store, &id, "x", at(1)).await.unwrap();
    let deleted = delete_if(&store, &id, at(2), not_b).await;
    assert!(matches!(deleted, Err(StoreError::NotFound)));
    assert_eq!(record(&store, &id).await.unwrap().version, 2);
}

#[tokio::test]
async fn the_source_of_a_live_key_is_not_removed() {
    let store = MemoryStore::new();
    let request = request("a");
    let issued = issuer().issue(&request, &mut SysRng, at(0)).unwrap();
    save_issued(&store, &issued).await.unwrap();
    let source = issued.record.id;
    revoke(&store, &source, "x", at(1)).await.unwrap();
    // A derived key that other code inserted.
    let derived = issuer()
        .delegate(&issued.record, &request, &mut SysRng, at(0))
        .unwrap();
    save_issued(&store, &derived).await.unwrap();
    let refused = delete(&store, &source, at(20)).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::Derived(DerivedProblem::SourceOfLive))
        ),
        "{refused:?}"
    );
    assert_eq!(count_ended_before(&store, at(20), at(20)).await.unwrap(), 0);
    assert_eq!(prune_keys(&store, at(20), at(20)).await.unwrap(), 0);
    revoke(&store, &derived.record.id, "x", at(30))
        .await
        .unwrap();
    assert_eq!(prune_keys(&store, at(20), at(30)).await.unwrap(), 1);
}
