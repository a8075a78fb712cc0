//! The life cycle of a key, through the functions that programs call.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use keystile::{
    Cause, DigestKind, EventKind, IssueRequest, Issued, KeyFormat, Millis, Pepper, PepperRing,
    Request, RotationPolicy, Status, SysRng, UnixMillis, Verifier, issue,
};

use super::fixture::*;
use crate::check::{Checked, check};
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::rotate::rotate;
use crate::store::Store;
use crate::verbs::{record, resume, revoke, save_issued, suspend};

async fn issued(store: &impl Store, format: &KeyFormat) -> Issued {
    let request = IssueRequest::new("Acme Ltd")
        .unwrap()
        .environment("live")
        .unwrap();
    let issued = issue(format, &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued)
        .await
        .expect("a new key is saved");
    issued
}

async fn checked(store: &impl Store, verifier: &Verifier, key: &str, now: UnixMillis) -> Checked {
    let checked = check(store, verifier, key.as_bytes(), &Request::new(), now).await;
    checked.expect("a check does not fail")
}

fn cause(checked: &Checked) -> Option<Cause> {
    checked.decision.denial().map(|denial| denial.cause())
}

async fn kinds(store: &impl Store) -> Vec<EventKind> {
    all_events(store)
        .await
        .into_iter()
        .map(|event| event.kind)
        .collect()
}

pub(super) async fn a_key_lives_and_ends<S: Store>(store: Arc<S>) {
    let store = &*store;
    let format = KeyFormat::structured("acme").unwrap();
    let verifier = Verifier::new(format.clone());
    let issued = issued(store, &format).await;
    let (key, key_id) = (issued.key.expose(), &issued.record.id);

    let answer = checked(store, &verifier, key, at(100)).await;
    assert_eq!(cause(&answer), None, "a new key is valid");
    let mut used = issued.record.clone();
    used.last_used_at = Some(at(100));
    assert_same(answer.record.as_ref(), &used, "the record of the decision");
    assert_same(
        find(store, key_id).await.as_ref(),
        &used,
        "the last use is stored",
    );

    let suspended = suspend(store, key_id, at(200))
        .await
        .expect("an active key is suspended");
    assert!(suspended.is_changed(), "and was not before");
    let suspended = suspended.into_record().expect("its row is sound");
    assert_eq!(suspended.status, Status::Suspended);
    let answer = checked(store, &verifier, key, at(201)).await;
    assert_eq!(
        cause(&answer),
        Some(Cause::Suspended),
        "a suspended key is refused"
    );
    assert_same(
        answer.record.as_ref(),
        &suspended,
        "a denial with a verified secret has the record",
    );
    let again = suspend(store, key_id, at(202)).await;
    let again = again.expect("a suspended key stays suspended");
    assert_eq!(again, Outcome::Unchanged(suspended), "nothing is written");
    resume(store, key_id, at(300))
        .await
        .expect("a suspended key is resumed");
    assert_eq!(
        cause(&checked(store, &verifier, key, at(301)).await),
        None,
        "a resumed key is valid again"
    );

    let policy = RotationPolicy::default();
    let rotated = rotate(
        store,
        key_id,
        &policy,
        None,
        &PepperRing::none(),
        &mut SysRng,
        at(400),
    )
    .await
    .expect("an active key is rotated");
    for key in [key, rotated.key.expose()] {
        assert_eq!(
            cause(&checked(store, &verifier, key, at(401)).await),
            None,
            "both keys are valid during the overlap"
        );
    }
    let successor = record(store, &rotated.successor.id)
        .await
        .expect("the successor is there");
    assert_eq!(
        successor.lineage, issued.record.lineage,
        "the successor has the same lineage"
    );
    let refused = rotate(
        store,
        key_id,
        &policy,
        None,
        &PepperRing::none(),
        &mut SysRng,
        at(402),
    )
    .await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "a replaced key cannot be rotated"
    );

    let revoked = revoke(store, key_id, "old", at(500))
        .await
        .expect("a replaced key is revoked")
        .into_record()
        .expect("its row is sound");
    let answer = checked(store, &verifier, key, at(501)).await;
    assert_eq!(
        cause(&answer),
        Some(Cause::Revoked),
        "a revoked key is refused"
    );
    let answer = checked(store, &verifier, rotated.key.expose(), at(501)).await;
    assert_eq!(cause(&answer), None, "its successor is still valid");
    let again = revoke(store, key_id, "again", at(502)).await;
    let again = again.expect("a revoked key stays revoked");
    assert_eq!(again, Outcome::Unchanged(revoked), "the first reason stays");
    for refused in [
        resume(store, key_id, at(503)).await,
        suspend(store, key_id, at(504)).await,
    ] {
        assert!(
            matches!(refused, Err(StoreError::Refused(_))),
            "no change follows a revocation: {refused:?}"
        );
    }
    use EventKind::{Issued, Resumed, Revoked, Rotated, Suspended};
    assert_eq!(
        kinds(store).await,
        [Issued, Suspended, Resumed, Rotated, Revoked]
    );
    let events = all_events(store).await;
    assert_eq!(events[3].successor, Some(rotated.successor.id));
    assert_eq!(events[4].reason.as_deref(), Some("old"));
}

pub(super) async fn nothing_is_disclosed_before_the_secret_is_verified<S: Store>(store: Arc<S>) {
    let store = &*store;
    let format = KeyFormat::structured("acme").unwrap();
    let verifier = Verifier::new(format.clone());
    let request = IssueRequest::new("Acme Ltd").unwrap();
    let key = |number: u64| {
        let mut issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
        issued.record.client_name = format!("client {number}").into();
        issued
    };
    let (unknown, mut wrong) = (key(1), key(2));
    wrong.record.digest = digest(2);
    save_issued(store, &wrong).await.unwrap();

    for (text, expected) in [
        ("", Cause::Malformed),
        ("acme_live_1", Cause::Malformed),
        (unknown.key.expose(), Cause::UnknownKey),
        (wrong.key.expose(), Cause::WrongSecret),
    ] {
        let answer = checked(store, &verifier, text, at(1)).await;
        assert_eq!(cause(&answer), Some(expected));
        assert!(
            answer.record.is_none(),
            "no record is returned before the secret is verified: {expected:?}"
        );
    }
    let found = find(store, &wrong.record.id).await;
    assert_same(
        found.as_ref(),
        &wrong.record,
        "a check with a wrong secret changes nothing",
    );
    let missing = record(store, &unknown.record.id).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound)),
        "no such key: {missing:?}"
    );
    let missing = revoke(store, &unknown.record.id, "", at(2)).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound)),
        "no such key: {missing:?}"
    );
}

/// K3, P10: a lineage that is read during rotations has one or two valid keys.
pub(super) async fn a_lineage_always_has_a_valid_key_during_rotations<S: Store + 'static>(
    store: Arc<S>,
) {
    let format = KeyFormat::structured("acme").unwrap();
    let first = issued(&*store, &format).await.record;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let lineage = store.lineage(&first.id).await.unwrap().records;
                    let live = lineage.iter().filter(|key| key.is_live(at(1))).count();
                    assert!(
                        (1..=2).contains(&live),
                        "a lineage has 1 or 2 valid keys, not {live}"
                    );
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let overlaps = [Millis::ZERO, Millis::from_days(7)];
    let mut current = first.id;
    for overlap in overlaps.into_iter().cycle().take(30) {
        let policy = RotationPolicy::default().with_overlap(overlap).unwrap();
        let none = PepperRing::none();
        let rotated = rotate(&*store, &current, &policy, None, &none, &mut SysRng, at(1)).await;
        current = rotated.expect("the newest key is rotated").successor.id;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader
            .await
            .expect("a reader always sees one or two valid keys");
    }
    assert_eq!(
        store.lineage(&first.id).await.unwrap().records.len(),
        31,
        "no key of the lineage is lost"
    );
}

pub(super) async fn the_first_use_ends_the_overlap<S: Store>(store: Arc<S>) {
    let store = &*store;
    let format = KeyFormat::structured("acme").unwrap();
    let verifier = Verifier::new(format.clone());
    let old = issued(store, &format).await;
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let none = PepperRing::none();
    let new = rotate(
        store,
        &old.record.id,
        &policy,
        Some(&format),
        &none,
        &mut SysRng,
        at(10),
    )
    .await
    .unwrap();

    let answer = checked(store, &verifier, old.key.expose(), at(20)).await;
    assert_eq!(
        cause(&answer),
        None,
        "the old key is valid until the first use of the new one"
    );
    let answer = checked(store, &verifier, new.key.expose(), at(30)).await;
    assert_eq!(
        cause(&answer),
        None,
        "the first use of the new key is allowed"
    );
    let answer = checked(store, &verifier, old.key.expose(), at(30)).await;
    assert_eq!(
        cause(&answer),
        Some(Cause::Replaced),
        "the old key ends at the first use of the new one"
    );
    let answer = checked(store, &verifier, new.key.expose(), at(40)).await;
    assert_eq!(cause(&answer), None, "the new key stays valid");
    use EventKind::{Changed, Expired, Issued, Rotated};
    assert_eq!(
        kinds(store).await,
        [Issued, Rotated, Expired, Changed],
        "the end of the overlap is written once"
    );
}

pub(super) async fn a_digest_is_renewed<S: Store>(store: Arc<S>) {
    let store = &*store;
    let ring = PepperRing::new(Pepper::new(7, &[7; 32]).unwrap());
    for format in [
        KeyFormat::structured("acme").unwrap(),
        KeyFormat::opaque("dt").unwrap(),
    ] {
        let old = issued(store, &format).await;
        let verifier = Verifier::new(format).with_peppers(ring.clone());
        for now in [at(1), at(2)] {
            let answer = checked(store, &verifier, old.key.expose(), now).await;
            assert_eq!(
                cause(&answer),
                None,
                "a key is found by its old digest first, and later by its new one"
            );
            let found = find(store, &old.record.id)
                .await
                .expect("the record is there");
            let kind = DigestKind::HmacSha256 { pepper: 7 };
            assert_eq!(
                found.digest.kind(),
                kind,
                "the digest is renewed at the first use"
            );
            assert_eq!(found.version, 2, "the digest is renewed once");
        }
    }
    use EventKind::{Issued, Rehashed};
    assert_eq!(kinds(store).await, [Issued, Rehashed, Issued, Rehashed]);
}
