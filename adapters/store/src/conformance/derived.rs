//! Keys that derive from others: they are found, and never have more than their source.

use std::sync::Arc;

use keystile::{
    DerivedFrom, IssueRequest, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, Millis, PepperRing,
    PermissionSet, RotationPolicy, SysRng,
};

use super::fixture::*;
use crate::batch::Batch;
use crate::change::{change, change_derived};
use crate::delegate::delegate;
use crate::derived::{DERIVED_DEPTH_MAX, DerivedProblem, DerivedState, OfDerived};
use crate::error::StoreError;
use crate::rotate::rotate;
use crate::store::Store;
use crate::verbs::{record, save_issued};

pub(super) fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

pub(super) fn request() -> IssueRequest {
    let request = IssueRequest::new("Acme Ltd").unwrap();
    request.permissions(["read", "write"]).unwrap()
}

pub(super) async fn source(store: &impl Store, request: IssueRequest) -> KeyId {
    let issued = issuer().issue(&request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued.record.id
}

pub(super) async fn derive(store: &impl Store, from: &KeyId) -> KeyId {
    derive_as(store, from, &request()).await.unwrap()
}

pub(super) async fn derive_as(
    store: &impl Store,
    from: &KeyId,
    request: &IssueRequest,
) -> Result<KeyId, StoreError> {
    let issued = delegate(store, from, &issuer(), request, &mut SysRng, at(1)).await;
    issued.map(|issued| issued.record.id)
}

pub(super) async fn successor(store: &impl Store, key: &KeyId) -> KeyRecord {
    let policy = RotationPolicy::default();
    let none = PepperRing::none();
    let rotated = rotate(store, key, &policy, None, &none, &mut SysRng, at(2)).await;
    rotated.unwrap().successor
}

pub(super) async fn statuses<const N: usize>(
    store: &impl Store,
    keys: [&KeyId; N],
) -> [&'static str; N] {
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
