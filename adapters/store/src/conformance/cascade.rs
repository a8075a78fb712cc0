//! What a verb does to a source, it does to the keys that derive from it.

use std::sync::Arc;

use keystile::{
    EventKind, IssueRequest, KeyChange, KeyRecord, Millis, PepperRing, PermissionSet,
    RotationPolicy, Status, SysRng,
};

use super::derived::{derive, derive_as, request, source, statuses, successor};
use super::fixture::*;
use crate::cascade::{resume_reaching, revoke_reaching, suspend_reaching};
use crate::change::{change, change_derived};
use crate::derived::{DerivedProblem, OfDerived, Reach};
use crate::error::StoreError;
use crate::rotate::rotate;
use crate::store::Store;
use crate::verbs::record;

/// Otherwise short lives would make the revocation of their source larger and larger.
pub(super) async fn a_revocation_leaves_what_ended_before<S: Store>(store: Arc<S>) {
    const MINUTE: u64 = 60_000;
    let top = source(&*store, request()).await;
    let lives = |millis| request().expires_in(Millis::new(millis)).unwrap();
    let short = derive_as(&*store, &top, &lives(1_000)).await.unwrap();
    // Of a process whose clock is late, it may still be used.
    let recent = derive_as(&*store, &top, &lives(2 * MINUTE)).await.unwrap();
    let long = derive(&*store, &top).await;
    let policy = RotationPolicy::default()
        .with_overlap(Millis::ZERO)
        .unwrap();
    let heir = rotate(
        &*store,
        &long,
        &policy,
        None,
        &PepperRing::none(),
        &mut SysRng,
        at(2),
    )
    .await
    .unwrap()
    .successor
    .id;
    let now = at(2 * MINUTE + 30_000);
    let listed = store.derived(&top, at(MINUTE + 30_000)).await.unwrap();
    let ids: Vec<_> = listed.records.iter().map(|key| key.id).collect();
    assert_eq!(ids, [recent, heir]);
    let ended = revoke_reaching(&*store, &top, "leaked", Reach::Last, now)
        .await
        .unwrap();
    let reached: Vec<_> = ended.derived.iter().map(|key| key.id).collect();
    assert_eq!(reached, [recent, heir]);
    for key in [&short, &long] {
        let left = record(&*store, key).await.unwrap();
        assert!(!left.is_live(now) && left.status == Status::Active);
    }
}

pub(super) async fn a_revocation_reaches_derived_keys<S: Store>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let child = derive(&*store, &top).await;
    let grandchild = derive(&*store, &child).await;
    let sibling = derive(&*store, &top).await;
    let ended = revoke_reaching(&*store, &child, "leaked", Reach::Last, at(3))
        .await
        .unwrap();
    assert!(ended.outcome.is_changed() && ended.left == 0);
    assert_eq!(ended.derived.len(), 1);
    let all = [&top, &child, &grandchild, &sibling];
    assert_eq!(
        statuses(&*store, all).await,
        ["active", "revoked", "revoked", "active"]
    );
    let events = all_events(&*store).await;
    let last = &events[events.len() - 2..];
    assert!(
        last.iter()
            .all(|event| event.kind == EventKind::Revoked && event.at == at(3))
    );
    // Once more changes nothing, and writes no event.
    let again = revoke_reaching(&*store, &child, "again", Reach::Own, at(4))
        .await
        .unwrap();
    assert!(!again.outcome.is_changed() && again.derived.is_empty());
    assert_eq!(all_events(&*store).await.len(), events.len());
    revoke_reaching(&*store, &top, "leaked", Reach::Last, at(5))
        .await
        .unwrap();
    assert_eq!(statuses(&*store, all).await, ["revoked"; 4]);
}

pub(super) async fn the_end_of_an_old_key_leaves_derived_keys<S: Store>(store: Arc<S>) {
    let old = source(&*store, request()).await;
    let child = derive(&*store, &old).await;
    let grandchild = derive(&*store, &child).await;
    let heir = successor(&*store, &old).await.id;
    let of_heir = derive(&*store, &heir).await;
    let all = [&old, &heir, &child, &grandchild, &of_heir];
    let ended = revoke_reaching(&*store, &old, "old", Reach::Last, at(3))
        .await
        .unwrap();
    assert_eq!(
        (ended.derived.len(), ended.left),
        (0, 3),
        "they have another source"
    );
    assert_eq!(
        statuses(&*store, all).await,
        ["revoked", "active", "active", "active", "active"]
    );
    // It can be asked for afterwards, and then reaches those of the old key.
    let ended = revoke_reaching(&*store, &old, "old", Reach::Own, at(4))
        .await
        .unwrap();
    assert!(!ended.outcome.is_changed());
    assert_eq!((ended.derived.len(), ended.left), (2, 1));
    assert_eq!(
        statuses(&*store, all).await,
        ["revoked", "active", "revoked", "revoked", "active"]
    );
    revoke_reaching(&*store, &heir, "last", Reach::Last, at(5))
        .await
        .unwrap();
    assert_eq!(statuses(&*store, all).await, ["revoked"; 5]);
}

pub(super) async fn what_was_suspended_with_a_source_is_resumed_with_it<S: Store>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let (child, own) = (derive(&*store, &top).await, derive(&*store, &top).await);
    let grandchild = derive(&*store, &child).await;
    let all = [&top, &child, &own, &grandchild];
    suspend_reaching(&*store, &own, Reach::Last, at(2))
        .await
        .unwrap();
    let ended = suspend_reaching(&*store, &top, Reach::Last, at(3))
        .await
        .unwrap();
    assert_eq!(ended.derived.len(), 2);
    assert_eq!(statuses(&*store, all).await, ["suspended"; 4]);
    let with = record(&*store, &grandchild).await.unwrap().suspended_with;
    assert_eq!(with, Some(top));
    let alone = resume_reaching(&*store, &child, at(4)).await;
    let problem = DerivedProblem::SourceNotLive;
    assert!(matches!(alone, Err(StoreError::Derived(found)) if found == problem));
    let before = all_events(&*store).await.len();
    let ended = resume_reaching(&*store, &top, at(5)).await.unwrap();
    assert_eq!(ended.derived.len(), 2);
    assert_eq!(
        statuses(&*store, all).await,
        ["active", "active", "suspended", "active"]
    );
    assert_eq!(
        all_events(&*store).await.len(),
        before + 3,
        "an event of each"
    );
    let found = record(&*store, &grandchild).await.unwrap();
    assert_eq!(found.suspended_with, None);
}

pub(super) async fn a_derived_key_is_suspended_by_itself_too<S: Store>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let child = derive(&*store, &top).await;
    let grandchild = derive(&*store, &child).await;
    let all = [&top, &child, &grandchild];
    suspend_reaching(&*store, &top, Reach::Last, at(2))
        .await
        .unwrap();
    // The child is suspended with its source already; from now on by itself, too.
    let ended = suspend_reaching(&*store, &child, Reach::Last, at(3))
        .await
        .unwrap();
    assert!(ended.outcome.is_changed());
    resume_reaching(&*store, &top, at(4)).await.unwrap();
    assert_eq!(
        statuses(&*store, all).await,
        ["active", "suspended", "suspended"]
    );
    resume_reaching(&*store, &child, at(5)).await.unwrap();
    assert_eq!(statuses(&*store, all).await, ["active"; 3]);
}

pub(super) async fn what_exceeds_stays_suspended<S: Store>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let writes = derive(&*store, &top).await;
    let reads = IssueRequest::new("Acme Ltd").unwrap();
    let reads = reads.permissions(["read"]).unwrap();
    let below = derive_as(&*store, &writes, &reads).await.unwrap();
    let beside = derive_as(&*store, &top, &reads).await.unwrap();
    suspend_reaching(&*store, &top, Reach::Last, at(3))
        .await
        .unwrap();
    let less = KeyChange::new().permissions(PermissionSet::new(["read"]).unwrap());
    let permit = |_: &KeyRecord, _: &KeyRecord| Ok::<(), StoreError>(());
    change_derived(&*store, &top, &less, OfDerived::Keep, at(4), permit)
        .await
        .unwrap();
    let resumed = resume_reaching(&*store, &top, at(5)).await.unwrap();
    assert_eq!(resumed.derived.len(), 1);
    assert_eq!(
        statuses(&*store, [&top, &writes, &below, &beside]).await,
        ["active", "suspended", "suspended", "active"]
    );
}

pub(super) async fn what_exceeds_its_source_is_not_resumed<S: Store>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let child = derive(&*store, &top).await;
    suspend_reaching(&*store, &top, Reach::Last, at(2))
        .await
        .unwrap();
    let less = KeyChange::new().permissions(PermissionSet::new(["read"]).unwrap());
    let permit = |_: &KeyRecord, _: &KeyRecord| Ok::<(), StoreError>(());
    change_derived(&*store, &top, &less, OfDerived::Suspend, at(3), permit)
        .await
        .unwrap();
    resume_reaching(&*store, &top, at(4)).await.unwrap();
    assert_eq!(
        statuses(&*store, [&top, &child]).await,
        ["active", "suspended"]
    );
    let refused = resume_reaching(&*store, &child, at(5)).await;
    let problem = DerivedProblem::ExceedsSource;
    assert!(matches!(refused, Err(StoreError::Derived(found)) if found == problem));
    let more = KeyChange::new().permissions(PermissionSet::new(["*"]).unwrap());
    change(&*store, &top, &more, at(6)).await.unwrap();
    resume_reaching(&*store, &child, at(7)).await.unwrap();
    // Kept with more than its source, it gets no successor.
    change_derived(&*store, &top, &less, OfDerived::Keep, at(8), permit)
        .await
        .unwrap();
    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let refused = rotate(&*store, &child, &policy, None, &none, &mut SysRng, at(9)).await;
    assert!(matches!(
        refused,
        Err(StoreError::Derived(DerivedProblem::ExceedsSource))
    ));
}

/// Keys are derived from a key and from those that derive from it, while it is revoked: each is
/// refused, or is revoked with it.
pub(super) async fn no_derived_key_escapes_a_revocation<S: Store + 'static>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let child = derive(&*store, &top).await;
    let mut tasks = Vec::new();
    for number in 0..8 {
        let (store, from) = (store.clone(), if number % 2 == 0 { top } else { child });
        tasks.push(tokio::spawn(async move {
            for _ in 0..4 {
                let made = derive_as(&*store, &from, &request()).await;
                assert!(
                    matches!(made, Ok(_) | Err(StoreError::Refused(_))),
                    "{made:?}"
                );
            }
        }));
    }
    revoke_reaching(&*store, &top, "leaked", Reach::Last, at(3))
        .await
        .unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let left = store.derived(&top, at(0)).await.unwrap();
    assert!(left.records.is_empty(), "{} escaped", left.records.len());
    let found = record(&*store, &child).await.unwrap();
    assert!(matches!(found.status, Status::Revoked { .. }));
}
