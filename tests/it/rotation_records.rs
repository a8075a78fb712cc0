//! What a rotation writes into records, condition by condition.

use crate::common::service::{Service, at, client};
use keystile::{
    KeyRecord, Millis, PepperRing, Rotated, RotationPolicy, end_overlap, revoke, rotate,
};

const HOUR: u64 = 3_600_000;

fn policy() -> RotationPolicy {
    let policy = RotationPolicy::default().with_overlap(Millis::from_hours(2));
    policy.unwrap().with_end_on_first_use(true)
}

fn rotated(service: &mut Service, record: &KeyRecord, siblings: &[KeyRecord], now: u64) -> Rotated {
    let (format, none) = (service.format.clone(), PepperRing::none());
    let rng = &mut service.rng;
    rotate(record, siblings, &policy(), &format, &none, rng, at(now)).unwrap()
}

#[test]
fn a_key_among_its_own_siblings_is_replaced_and_not_ended() {
    let mut service = Service::structured();
    let record = service.issue(&client()).record;
    let rotated = rotated(&mut service, &record, core::slice::from_ref(&record), 0);
    assert_eq!(rotated.changed.len(), 1);
    assert_eq!(rotated.changed[0].overlap_until, Some(at(2 * HOUR)));
    assert!(rotated.changed[0].is_live(at(HOUR)));
}

#[test]
fn only_a_sibling_that_has_not_ended_is_ended_and_to_the_millisecond() {
    let mut service = Service::structured();
    let first = service.issue(&client()).record;
    let once = rotated(&mut service, &first, &[], 0);
    let siblings = &once.changed;
    for (now, is_changed) in [(2 * HOUR - 1, true), (2 * HOUR, false), (3 * HOUR, false)] {
        let twice = rotated(&mut service, &once.successor, siblings, now);
        let older: Vec<_> = twice.changed[1..].iter().collect();
        assert_eq!(older.len(), usize::from(is_changed), "{now}");
        for older in older {
            assert_eq!(
                (older.id, older.version),
                (first.id, siblings[0].version + 1)
            );
            assert_eq!(older.overlap_until, Some(at(now)));
        }
    }
}

#[test]
fn a_revoked_sibling_stays_as_it_is() {
    let mut service = Service::structured();
    let first = service.issue(&client()).record;
    let once = rotated(&mut service, &first, &[], 0);
    let revoked = revoke(&once.changed[0], "leaked", at(1)).unwrap().record;
    let twice = rotated(&mut service, &once.successor, &[revoked], HOUR);
    let changed: Vec<_> = twice.changed.iter().map(|changed| changed.id).collect();
    assert_eq!(changed, [once.successor.id]);
}

#[test]
fn a_replaced_key_ends_nothing_any_more_by_its_first_use() {
    let mut service = Service::structured();
    let first = service.issue(&client()).record;
    let once = rotated(&mut service, &first, &[], 0);
    assert_eq!(once.successor.ends_at_first_use, Some(first.id));
    let twice = rotated(&mut service, &once.successor, &once.changed, HOUR);
    assert_eq!(twice.changed[0].id, once.successor.id);
    assert_eq!(twice.changed[0].ends_at_first_use, None);
    assert_eq!(twice.successor.ends_at_first_use, Some(once.successor.id));
}

#[test]
fn an_overlap_is_ended_only_by_the_successor_and_never_prolonged() {
    let mut service = Service::structured();
    let first = service.issue(&client()).record;
    let once = rotated(&mut service, &first, &[], 0);
    let (old, successor) = (&once.changed[0], &once.successor);
    let [ended, used] = end_overlap(old, successor, at(HOUR)).unwrap();
    assert_eq!(ended.overlap_until, Some(at(HOUR)));
    assert_eq!(ended.version, old.version + 1);
    assert_eq!(
        (used.ends_at_first_use, used.version),
        (None, successor.version + 1)
    );
    // Over already: it stays so.
    let [late, _] = end_overlap(old, successor, at(5 * HOUR)).unwrap();
    assert_eq!(late.overlap_until, Some(at(2 * HOUR)));
    // The first use was made, or it is of another key, or the key has another successor.
    assert!(end_overlap(old, &used, at(HOUR)).is_none());
    let other = rotated(&mut service, &first, &[], 0);
    assert!(end_overlap(old, &other.successor, at(HOUR)).is_none());
    assert!(end_overlap(&first, successor, at(HOUR)).is_none());
    let mut of_another = successor.clone();
    of_another.ends_at_first_use = Some(other.successor.id);
    assert!(end_overlap(old, &of_another, at(HOUR)).is_none());
}
