//! Attacks on the life of a key, row K. Each test answers a flaw that was found elsewhere
//! and has its number.

use crate::common::service::{Service, at, client, ring};
use keystile::{
    Denial, DenialCode, ErrorKind, Issued, KeyRecord, Millis, PepperRing, Request, Rotated,
    RotationPolicy, UnixMillis, Usage, issue, rehash, resume, revoke, rotate, suspend,
};

/// A key that was issued at the start and rotated at an instant.
fn rotated_at(service: &mut Service, overlap: u64, now: UnixMillis) -> (Issued, Rotated) {
    let issued = service.issue(&client());
    let policy = RotationPolicy::default()
        .with_overlap(Millis::new(overlap))
        .unwrap();
    let (format, none) = (&service.format, PepperRing::none());
    let rotated = rotate(
        &issued.record,
        &[],
        &policy,
        format,
        &none,
        &mut service.rng,
        now,
    );
    (issued, rotated.unwrap())
}

fn code_at(
    service: &Service,
    text: &str,
    record: &KeyRecord,
    now: UnixMillis,
) -> Option<DenialCode> {
    let mut usage = Usage::of(record);
    let decision = service.ask(
        text.as_bytes(),
        Some(record),
        &Request::new(),
        &mut usage,
        now,
    );
    decision.denial().map(Denial::code)
}

#[test]
fn k1_solana_897_and_k2_the_dmz_322_the_old_key_lives_to_its_deadline_and_no_longer() {
    let mut service = Service::structured();
    for overlap in [0, 1, 2, 1_000, 7 * 86_400_000] {
        let (issued, rotated) = rotated_at(&mut service, overlap, at(10));
        let (text, old) = (issued.key.expose(), &rotated.changed[0]);
        let deadline = 10 + overlap;
        assert_eq!(old.overlap_until, Some(at(deadline)));
        let replaced = Some(DenialCode::KeyReplaced);
        assert_eq!(code_at(&service, text, old, at(deadline)), replaced);
        assert_eq!(code_at(&service, text, old, at(deadline + 1)), replaced);
        if overlap > 0 {
            assert_eq!(code_at(&service, text, old, at(deadline - 1)), None);
            assert_eq!(code_at(&service, text, old, at(10)), None);
        }
    }
}

#[test]
fn k3_ay_framework_219_there_is_no_instant_without_a_key() {
    let mut service = Service::structured();
    for overlap in [0, 1, 500] {
        let (issued, rotated) = rotated_at(&mut service, overlap, at(10));
        let old = &rotated.changed[0];
        for now in (10..520).map(at) {
            let both = [
                code_at(&service, issued.key.expose(), old, now),
                code_at(&service, rotated.key.expose(), &rotated.successor, now),
            ];
            assert!(both.contains(&None), "{overlap} ms of overlap, {now:?}");
        }
    }
}

#[test]
fn k4_solana_1214_a_replaced_key_without_a_deadline_is_over() {
    let mut service = Service::structured();
    let (issued, rotated) = rotated_at(&mut service, 1_000, at(10));
    let mut torn = rotated.changed[0].clone();
    torn.overlap_until = None;
    assert_eq!(torn.check().unwrap_err().kind(), ErrorKind::Record);
    let code = code_at(&service, issued.key.expose(), &torn, at(11));
    assert_eq!(
        code,
        Some(DenialCode::KeyReplaced),
        "refused, not without an end"
    );
}

#[test]
fn k5_a_chain_of_rotations_leaves_no_old_key_behind() {
    let mut service = Service::structured();
    let (issued, first) = rotated_at(&mut service, 1_000_000, at(10));
    let policy = RotationPolicy::default();
    let (format, none) = (service.format.clone(), PepperRing::none());
    let oldest = first.changed[0].clone();
    let suspended = suspend(&oldest, at(11)).unwrap().record;
    for oldest in [oldest, suspended] {
        let lineage = [oldest.clone(), first.successor.clone()];
        let rng = &mut service.rng;
        let second = rotate(&lineage[1], &lineage, &policy, &format, &none, rng, at(20));
        let changed = second.unwrap().changed;
        let ended = changed
            .iter()
            .find(|record| record.id == oldest.id)
            .unwrap();
        assert_eq!(ended.version, oldest.version + 1);
        // Also if it had been suspended and is now resumed.
        let resumed = resume(ended, at(21)).map_or_else(|_| ended.clone(), |change| change.record);
        let code = code_at(&service, issued.key.expose(), &resumed, at(21));
        assert_eq!(code, Some(DenialCode::KeyReplaced));
    }
    // A replaced key gets no second successor.
    let old = &first.changed[0];
    let twice = rotate(old, &[], &policy, &format, &none, &mut service.rng, at(20));
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::State);
}

#[test]
fn k10_a_revocation_is_undone_by_nothing_and_its_first_story_stands() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let record = &issued.record;
    let revoked = revoke(record, "leaked in a log", at(5)).unwrap().record;
    let again = revoke(&revoked, "another reason", at(6));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::State);
    assert_eq!(
        resume(&revoked, at(6)).unwrap_err().kind(),
        ErrorKind::State
    );
    assert_eq!(
        suspend(&revoked, at(6)).unwrap_err().kind(),
        ErrorKind::State
    );
    let (policy, format, none) = (
        RotationPolicy::default(),
        &service.format,
        PepperRing::none(),
    );
    let rotated = rotate(
        &revoked,
        &[],
        &policy,
        format,
        &none,
        &mut service.rng,
        at(6),
    );
    assert_eq!(rotated.unwrap_err().kind(), ErrorKind::State);
    // Every change increments the version: of two changes to the same version, a store
    // accepts the first and rejects the second as stale.
    let key = service
        .verifier
        .parse(issued.key.expose().as_bytes())
        .unwrap();
    let rotated = rotate(record, &[], &policy, format, &none, &mut service.rng, at(6)).unwrap();
    let suspended = suspend(record, at(6)).unwrap().record;
    let resumed = resume(&suspended, at(6)).unwrap().record;
    let rehashed = rehash(record, &key, &ring(), at(6)).unwrap().record;
    for changed in [&revoked, &suspended, &rehashed, &rotated.changed[0]] {
        assert_eq!(changed.version, record.version + 1);
    }
    assert_eq!(resumed.version, record.version + 2);
    // A rehash of a revoked key, even if it comes late, leaves it revoked.
    let late = rehash(&revoked, &key, &ring(), at(7)).unwrap().record;
    assert_eq!(late.status, revoked.status);
    let issued_anew = issue(format, &none, &client(), &mut service.rng, at(7)).unwrap();
    assert_ne!(issued_anew.record.lineage, record.lineage);
}
