//! Keys that derive from others: they never have more, and end and rest with their source.

use std::sync::Arc;

use keystile::{
    DerivedFrom, EventKind, IssueRequest, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, Millis,
    PepperRing, PermissionSet, RotationPolicy, Status, SysRng,
};

use super::fixture::*;
use crate::batch::Batch;
use crate::cascade::{resume_reaching, revoke_reaching, suspend_reaching};
use crate::change::{change, change_derived};
use crate::delegate::delegate;
use crate::derived::{DERIVED_DEPTH_MAX, DerivedProblem, DerivedState, OfDerived, Reach};
use crate::error::StoreError;
use crate::rotate::rotate;
use crate::store::Store;
use crate::verbs::{record, save_issued};

fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

fn request() -> IssueRequest {
    let request = IssueRequest::new("Acme Ltd").unwrap();
    request.permissions(["read", "write"]).unwrap()
}

async fn source(store: &impl Store, request: IssueRequest) -> KeyId {
    let issued = issuer().issue(&request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued.record.id
}

async fn derive(store: &impl Store, from: &KeyId) -> KeyId {
    derive_as(store, from, &request()).await.unwrap()
}

async fn derive_as(
    store: &impl Store,
    from: &KeyId,
    request: &IssueRequest,
) -> Result<KeyId, StoreError> {
    let issued = delegate(store, from, &issuer(), request, &mut SysRng, at(1)).await;
    issued.map(|issued| issued.record.id)
}

async fn successor(store: &impl Store, key: &KeyId) -> KeyRecord {
    let policy = RotationPolicy::default();
    let none = PepperRing::none();
    let rotated = rotate(store, key, &policy, None, &none, &mut SysRng, at(2)).await;
    rotated.unwrap().successor
}

async fn statuses<const N: usize>(store: &impl Store, keys: [&KeyId; N]) -> [&'static str; N] {
    let mut all = [""; N];
    for (place, key) in all.iter_mut().zip(keys) {
        *place = record(store, key).await.unwrap().status.as_str();
    }
    all
}

pub(super) async fn derived_keys_are_found<S: Store>(store: Arc<S>) {
    let (one, other) = (
        source(&*store, request()).await,
        source(&*store, request()).await,
    );
    let first = derive(&*store, &one).await;
    derive(&*store, &other).await;
    let second = derive(&*store, &first).await;
    let found = record(&*store, &first).await.unwrap();
    assert_eq!(found.derived_from, Some(DerivedFrom::new(one, one)));
    let ids = async || {
        let listed = store.derived(&one, at(0)).await.unwrap();
        assert!(listed.next.is_none() && listed.damaged.is_empty());
        listed.records.iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [first, second], "in order, and no others");
    let heir = successor(&*store, &first).await;
    assert_eq!(heir.derived_from, found.derived_from);
    assert_eq!(ids().await, [first, second, heir.id], "successors too");
    // Revoked by other code, which reaches no other key.
    let lone = revoked(&record(&*store, &first).await.unwrap(), "");
    store.commit(&updates([&lone])).await.unwrap();
    let lone = revoked(&heir, "");
    store.commit(&updates([&lone])).await.unwrap();
    assert_eq!(
        ids().await,
        [second],
        "without revoked ones, but through them"
    );
    let unknown = store.derived(&id(77), at(0)).await.unwrap();
    assert!(unknown.records.is_empty());
}

pub(super) async fn a_batch_may_rely_on_what_was_read<S: Store>(store: Arc<S>) {
    let mut key = plain(1);
    key.remaining_uses = Some(5);
    let (mut child, mut other) = (plain(2), plain(3));
    child.derived_from = Some(DerivedFrom::key(&key));
    other.remaining_uses = None;
    insert(&*store, [&key, &child, &other]).await;
    let before = all_events(&*store).await;
    let mut aged = child.clone();
    aged.version += 1;
    let states = [
        DerivedState::of(&key, []),
        DerivedState::of(&key, [&aged]),
        DerivedState::of(&key, [&child, &child]),
    ];
    type Fill = Box<dyn Fn(&mut Batch)>;
    let mut wrong: Vec<(&str, Fill)> = vec![
        (
            "another version",
            Box::new(move |b| b.unchanged = vec![(id(1), 2)]),
        ),
        (
            "no such key",
            Box::new(move |b| b.unchanged = vec![(id(9), 1)]),
        ),
        (
            "too many uses",
            Box::new(move |b| b.take_uses = vec![(id(1), 6)]),
        ),
        (
            "uses that are not counted",
            Box::new(move |b| b.take_uses = vec![(id(3), 1)]),
        ),
        (
            "uses of no lineage",
            Box::new(move |b| b.take_uses = vec![(id(9), 1)]),
        ),
    ];
    for state in states {
        wrong.push((
            "other derived keys",
            Box::new(move |b| b.derived = vec![state]),
        ));
    }
    for (what, fill) in wrong {
        let mut batch = updates([&next(&other)]);
        fill(&mut batch);
        let refused = store.commit(&batch).await;
        assert!(
            matches!(refused, Err(StoreError::Stale)),
            "{what}: {refused:?}"
        );
        assert_eq!(
            all_events(&*store).await,
            before,
            "{what}: nothing is written"
        );
        assert_eq!(find(&*store, &other.id).await.unwrap().version, 1, "{what}");
    }
    let mut batch = updates([&next(&other)]);
    batch.unchanged = vec![(id(1), 1), (id(2), 1)];
    batch.take_uses = vec![(id(1), 2), (id(1), 3)];
    batch.derived = vec![DerivedState::of(&key, [&child])];
    store.commit(&batch).await.unwrap();
    assert_eq!(find(&*store, &id(1)).await.unwrap().remaining_uses, Some(0));
    assert_eq!(find(&*store, &id(1)).await.unwrap().version, 1);
    assert_eq!(all_events(&*store).await.len(), before.len() + 1);
}

/// One is revoked and one is added: as many live ones as before, with the same versions.
pub(super) async fn a_batch_relies_on_ended_keys_too<S: Store>(store: Arc<S>) {
    let (key, mut child, other) = (plain(1), plain(2), plain(3));
    child.derived_from = Some(DerivedFrom::key(&key));
    insert(&*store, [&key, &child, &other]).await;
    let read = store.derived_state(&key).await.unwrap();
    assert_eq!(read, DerivedState::of(&key, [&child]));
    store
        .commit(&updates([&revoked(&child, "")]))
        .await
        .unwrap();
    let mut added = plain(4);
    added.derived_from = Some(DerivedFrom::key(&key));
    insert(&*store, [&added]).await;
    let mut batch = updates([&next(&other)]);
    batch.derived = vec![read];
    let refused = store.commit(&batch).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    batch.derived = vec![store.derived_state(&key).await.unwrap()];
    store.commit(&batch).await.unwrap();
}

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

pub(super) async fn uses_are_taken_off_the_source<S: Store>(store: Arc<S>) {
    let top = source(&*store, request().uses(10).unwrap()).await;
    let four = request().uses(4).unwrap();
    for left in [6, 2] {
        derive_as(&*store, &top, &four).await.unwrap();
        let found = record(&*store, &top).await.unwrap();
        assert_eq!(found.remaining_uses, Some(left));
        assert_eq!(found.version, 1, "uses are no part of the record");
    }
    let refused = derive_as(&*store, &top, &four).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "{refused:?}"
    );
    let rest = derive(&*store, &top).await;
    assert_eq!(
        record(&*store, &rest).await.unwrap().remaining_uses,
        Some(2)
    );
    assert_eq!(record(&*store, &top).await.unwrap().remaining_uses, Some(0));
    // A raise is taken off too.
    let more = KeyChange::new().uses(3).unwrap();
    let refused = change(&*store, &rest, &more, at(3)).await;
    assert!(
        matches!(refused, Err(StoreError::Derived(_))),
        "{refused:?}"
    );
    change(&*store, &top, &KeyChange::new().uses(7).unwrap(), at(3))
        .await
        .unwrap();
    change(&*store, &rest, &more, at(4)).await.unwrap();
    assert_eq!(
        record(&*store, &rest).await.unwrap().remaining_uses,
        Some(3)
    );
    assert_eq!(record(&*store, &top).await.unwrap().remaining_uses, Some(6));
}

pub(super) async fn a_source_may_not_get_less_than_its_derived_keys<S: Store>(store: Arc<S>) {
    let less = KeyChange::new().permissions(PermissionSet::new(["read"]).unwrap());
    let permit = |_: &KeyRecord, _: &KeyRecord| Ok::<(), StoreError>(());
    for (rule, status) in [
        (OfDerived::Suspend, "suspended"),
        (OfDerived::Revoke, "revoked"),
        (OfDerived::Keep, "active"),
    ] {
        let top = source(&*store, request()).await;
        let writes = derive(&*store, &top).await;
        let below = derive(&*store, &writes).await;
        let reads = IssueRequest::new("Acme Ltd")
            .unwrap()
            .permissions(["read"])
            .unwrap();
        let reads = derive_as(&*store, &top, &reads).await.unwrap();
        let before = all_events(&*store).await.len();
        let refused = change(&*store, &top, &less, at(3)).await;
        assert!(
            matches!(&refused,
            Err(StoreError::Derived(DerivedProblem::WouldExceed(keys))) if *keys == [writes, below]),
            "{refused:?}"
        );
        assert_eq!(all_events(&*store).await.len(), before);
        let changed = change_derived(&*store, &top, &less, rule, at(4), permit)
            .await
            .unwrap();
        assert!(changed.outcome.is_changed());
        let all = [&top, &writes, &below, &reads];
        assert_eq!(
            statuses(&*store, all).await,
            ["active", status, status, "active"]
        );
    }
    // More, or another name, concerns none of them.
    let top = source(&*store, request()).await;
    derive(&*store, &top).await;
    let more = KeyChange::new().add_permissions(PermissionSet::new(["audit"]).unwrap());
    let more = more.client_name("Acme Pro").unwrap();
    change(&*store, &top, &more, at(3)).await.unwrap();
}

pub(super) async fn what_derives_from_an_exceeding_key_ends_too<S: Store>(store: Arc<S>) {
    let reads = IssueRequest::new("Acme Ltd").unwrap();
    let reads = reads.permissions(["read"]).unwrap();
    let less = KeyChange::new().permissions(PermissionSet::new(["read"]).unwrap());
    let permit = |_: &KeyRecord, _: &KeyRecord| Ok::<(), StoreError>(());
    for (rule, status) in [
        (OfDerived::Suspend, "suspended"),
        (OfDerived::Revoke, "revoked"),
    ] {
        let top = source(&*store, request()).await;
        let writes = derive(&*store, &top).await;
        let below = derive_as(&*store, &writes, &reads).await.unwrap();
        change_derived(&*store, &top, &less, rule, at(4), permit)
            .await
            .unwrap();
        assert_eq!(statuses(&*store, [&writes, &below]).await, [status; 2]);
        let with = record(&*store, &below).await.unwrap().suspended_with;
        assert_eq!(with, (rule == OfDerived::Suspend).then_some(writes));
    }
}

pub(super) async fn a_limit_of_uses_concerns_derived_keys<S: Store>(store: Arc<S>) {
    let top = source(&*store, request()).await;
    let free = derive(&*store, &top).await;
    let five = KeyChange::new().uses(5).unwrap();
    let refused = change(&*store, &top, &five, at(3)).await;
    assert!(
        matches!(&refused,
        Err(StoreError::Derived(DerivedProblem::WouldExceed(keys))) if *keys == [free]),
        "{refused:?}"
    );
    let permit = |_: &KeyRecord, _: &KeyRecord| Ok::<(), StoreError>(());
    change_derived(&*store, &top, &five, OfDerived::Revoke, at(4), permit)
        .await
        .unwrap();
    assert_eq!(
        statuses(&*store, [&top, &free]).await,
        ["active", "revoked"]
    );
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

pub(super) async fn a_derived_key_may_not_get_more_than_its_source<S: Store>(store: Arc<S>) {
    let top = source(&*store, request().expires_in(Millis::from_days(9)).unwrap()).await;
    let child = derive(&*store, &top).await;
    let admin = PermissionSet::new(["admin"]).unwrap();
    for more in [
        KeyChange::new().add_permissions(admin),
        KeyChange::new().expires_in(Millis::from_days(10)).unwrap(),
        KeyChange::new().never_expires(),
        KeyChange::new().owner("other").unwrap(),
    ] {
        let refused = change(&*store, &child, &more, at(3)).await;
        assert!(
            matches!(
                &refused,
                Err(StoreError::Derived(DerivedProblem::ExceedsSource))
            ),
            "{refused:?}"
        );
    }
    let within = KeyChange::new().expires_in(Millis::from_days(8)).unwrap();
    change(&*store, &child, &within, at(3)).await.unwrap();
}

pub(super) async fn a_successor_ends_no_later_than_the_source<S: Store>(store: Arc<S>) {
    let top = source(
        &*store,
        request().expires_in(Millis::from_days(10)).unwrap(),
    )
    .await;
    let child = derive(&*store, &top).await;
    let end = record(&*store, &top).await.unwrap().expires_at;
    let heir = successor(&*store, &child).await;
    assert_eq!(heir.expires_at, end);
    // After the source was rotated, its successor is the source.
    let top = successor(&*store, &top).await;
    assert!(top.expires_at > end);
    let heir = successor(&*store, &heir.id).await;
    assert_eq!(
        heir.expires_at,
        Some(at(2).plus(heir.lifetime.unwrap()).unwrap())
    );
    assert!(heir.expires_at <= top.expires_at);
    // A shorter life of the source must not end before the keys that derive from it.
    let hour = RotationPolicy::default()
        .with_lifetime(Millis::from_hours(1))
        .unwrap();
    let none = PepperRing::none();
    let refused = rotate(&*store, &top.id, &hour, None, &none, &mut SysRng, at(2)).await;
    assert!(matches!(
        refused,
        Err(StoreError::Derived(DerivedProblem::WouldExceed(_)))
    ));
    // Revoked by other code, which does not reach the derived keys.
    for key in store.lineage(&top.lineage).await.unwrap().records {
        store.commit(&updates([&revoked(&key, "")])).await.unwrap();
    }
    let policy = RotationPolicy::default();
    let refused = rotate(&*store, &heir.id, &policy, None, &none, &mut SysRng, at(3)).await;
    assert!(matches!(
        refused,
        Err(StoreError::Derived(DerivedProblem::SourceNotLive))
    ));
}

pub(super) async fn a_chain_of_derived_keys_has_an_end<S: Store>(store: Arc<S>) {
    let mut last = source(&*store, request()).await;
    for _ in 0..DERIVED_DEPTH_MAX {
        last = derive(&*store, &last).await;
    }
    let refused = derive_as(&*store, &last, &request()).await;
    assert!(
        matches!(refused, Err(StoreError::Derived(DerivedProblem::TooDeep))),
        "{refused:?}"
    );
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
