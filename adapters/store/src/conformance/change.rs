//! Changes of what a key may do: in force at once, noted, and without a loss of what others
//! write meanwhile.

use std::sync::Arc;

use keystile::{
    ErrorKind, EventKind, FieldChange, IssueRequest, KeyChange, KeyFormat, Millis, PepperRing,
    PermissionSet, RateLimit, Request, RotationPolicy, SysRng, Verifier, issue,
};

use super::fixture::*;
use crate::batch::Batch;
use crate::change::change;
use crate::check::check;
use crate::error::StoreError;
use crate::rotate::rotate;
use crate::store::Store;
use crate::verbs::{record, revoke, save_issued, suspend};

/// What a change writes is read again, and its event has the values before and after.
pub(super) async fn a_key_is_changed_with_an_event<S: Store>(store: Arc<S>) {
    let mut key = plain(1);
    key.client_email = Some("old@acme.example".into());
    key.remaining_uses = Some(5);
    insert(&*store, [&key]).await;
    let request = KeyChange::new()
        .client_name("Acme Pro")
        .and_then(|change| change.email("new@acme.example"))
        .and_then(|change| change.uses(70))
        .unwrap()
        .permissions(PermissionSet::new(["read"]).unwrap())
        .rate_limit(RateLimit::new(9, Millis::from_secs(1)).unwrap());
    let before = all_events(&*store).await.len();
    let outcome = change(&*store, &key.id, &request, at(5)).await.unwrap();
    assert!(outcome.is_changed());
    let found = find(&*store, &key.id).await.unwrap();
    assert_same(outcome.record(), &found, "the record of the outcome");
    assert_eq!(found.version, key.version + 1);
    assert_eq!(found.remaining_uses, Some(70));
    assert_eq!(&*found.client_name, "Acme Pro");
    let events = all_events(&*store).await;
    assert_eq!(events.len(), before + 1, "one event, of this key only");
    let event = events.last().unwrap();
    assert_eq!(event.kind, EventKind::Changed);
    assert_eq!(event.version, Some(found.version));
    let values = |field, from, to| FieldChange::new(field).with_values(from, to);
    assert_eq!(
        event.changes,
        [
            values("client_name", Some("Acme Ltd"), Some("Acme Pro")),
            values("client_email", None, None),
            values("permissions", Some(""), Some("read")),
            values("rate_limit", None, Some("9 in 1000 ms, burst 9")),
            values("remaining_uses", Some("5"), Some("70")),
        ]
    );
    // The same again writes nothing.
    let again = change(&*store, &key.id, &request, at(6)).await.unwrap();
    assert!(!again.is_changed());
    assert_eq!(all_events(&*store).await.len(), before + 1);
    // A suspended key is changed, a revoked one is not.
    suspend(&*store, &key.id, at(7)).await.unwrap();
    let uncounted = KeyChange::new().uses(None).unwrap();
    change(&*store, &key.id, &uncounted, at(8)).await.unwrap();
    let found = record(&*store, &key.id).await.unwrap();
    assert_eq!(found.remaining_uses, None, "not counted any more");
    revoke(&*store, &key.id, "leaked", at(9)).await.unwrap();
    let refused = change(&*store, &key.id, &request, at(10)).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(error)) if error.kind() == ErrorKind::State),
        "a revoked key is not changed: {refused:?}",
    );
    let unknown = change(&*store, &id(99), &request, at(10)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)));
}

/// An update gives back no use that was spent since its record was read, unless the uses are
/// set.
pub(super) async fn a_change_of_other_fields_leaves_uses<S: Store>(store: Arc<S>) {
    let mut key = plain(1);
    key.remaining_uses = Some(5);
    insert(&*store, [&key]).await;
    let mut raised = next(&key);
    raised.remaining_uses = Some(100);
    store.commit(&updates([&raised])).await.unwrap();
    let left = store.usage(&key.lineage).await.unwrap().usage.remaining;
    assert_eq!(left, Some(5), "an update does not write the uses");
    let mut raised = next(&raised);
    raised.remaining_uses = Some(100);
    let mut batch = updates([&raised]);
    batch.set_uses.push(key.id);
    store.commit(&batch).await.unwrap();
    let left = store.usage(&key.lineage).await.unwrap().usage.remaining;
    assert_eq!(left, Some(100));
    let found = find(&*store, &key.id).await.unwrap();
    assert_eq!(found.version, raised.version, "the version is the update's");
    // Under the version: a change of an older record sets nothing.
    let mut stale = raised.clone();
    stale.remaining_uses = Some(7_000);
    let mut batch = updates([&stale]);
    batch.set_uses.push(key.id);
    let refused = store.commit(&batch).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    let left = store.usage(&key.lineage).await.unwrap().usage.remaining;
    assert_eq!(left, Some(100), "nothing of a refused batch is written");
    let alone = Batch {
        set_uses: vec![key.id],
        ..Batch::new()
    };
    let refused = store.commit(&alone).await;
    assert!(matches!(refused, Err(StoreError::WithoutEvent)));
}

/// Spent uses and a used-up limit are available again after a raise; and the other key of the
/// lineage, which shares the uses, gets a new version and an event.
pub(super) async fn a_raise_by_a_change_is_in_force<S: Store>(store: Arc<S>) {
    let format = KeyFormat::structured("acme").unwrap();
    let none = PepperRing::none();
    let request = IssueRequest::new("Acme Ltd").unwrap().uses(2).unwrap();
    let issued = issue(&format, &none, &request, &mut SysRng, at(0)).unwrap();
    save_issued(&*store, &issued).await.unwrap();
    let old = issued.record.id;
    let policy = RotationPolicy::default();
    let (format_of, rng) = (Some(&format), &mut SysRng);
    let rotated = rotate(&*store, &old, &policy, format_of, &none, rng, at(0)).await;
    let rotated = rotated.unwrap();
    let verifier = Verifier::new(format);
    let keys = [issued.key, rotated.key];
    let allowed = async |key: &keystile::ApiKey, now| {
        let text = key.expose().as_bytes();
        let checked = check(&*store, &verifier, text, &Request::new(), now).await;
        checked.expect("a check does not fail").decision.is_allow()
    };
    assert!(allowed(&keys[0], at(1)).await && allowed(&keys[1], at(1)).await);
    assert!(!allowed(&keys[0], at(2)).await && !allowed(&keys[1], at(2)).await);
    let before = record(&*store, &old).await.unwrap();
    let more = KeyChange::new().uses(3).unwrap();
    let successor = rotated.successor.id;
    let outcome = change(&*store, &successor, &more, at(3)).await.unwrap();
    assert_eq!(outcome.record().unwrap().remaining_uses, Some(3));
    let after = record(&*store, &old).await.unwrap();
    assert_eq!(after.version, before.version + 1);
    assert_eq!(after.remaining_uses, Some(3));
    let events = all_events(&*store).await;
    let noted = |id, version| {
        let of_key = events.iter().filter(|event| event.key_id == Some(id));
        of_key
            .filter(|event| event.version == Some(version))
            .count()
    };
    assert_eq!(noted(old, after.version), 1, "one event of the other key");
    assert_eq!(noted(successor, 2), 1, "one event of the key");
    for key in [&keys[0], &keys[1], &keys[1]] {
        assert!(allowed(key, at(4)).await);
    }
    assert!(!allowed(&keys[0], at(5)).await, "three, and no more");
}
