//! Limits in the keyring when the clock is set back or the limit changes: neither gives
//! anything away, and no one waits for the old time to come round again.
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use crate::common::test_rng::TestRng;
use keystile::{Cause, KeyRecord, Millis, PepperRing, RateLimit, RotationPolicy, rotate};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// The time between two requests of a limit of 60 an hour.
const INTERVAL: u64 = MINUTE;

/// Keys with a limit of 60 an hour that spend from one meter: a single key, and a pair in
/// rotation.
pub(super) fn meters(clock_skew: Millis) -> [(KeyringWithStore, Vec<String>); 2] {
    let mut service = Service::structured();
    let limit = RateLimit::new(60, Millis::new(HOUR)).unwrap();
    let request = client().rate_limit(limit);
    let (single, first) = (service.issue(&request), service.issue(&request));
    let policy = RotationPolicy::default()
        .with_overlap(Millis::from_days(7))
        .unwrap();
    let (format, none) = (service.format.clone(), PepperRing::none());
    let rng = &mut service.rng;
    let rotated = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let records = [&single.record, &rotated.changed[0], &rotated.successor];
    let set_up = |records: &[&KeyRecord]| {
        let backed = KeyringWithStore::set_up(&service, |builder| builder.clock_skew(clock_skew));
        records.iter().for_each(|record| backed.put(record));
        backed
    };
    let text = |text: &str| text.to_owned();
    [
        (set_up(&records[..1]), vec![text(single.key.expose())]),
        (
            set_up(&records[1..]),
            vec![text(first.key.expose()), text(rotated.key.expose())],
        ),
    ]
}

/// Checks each key in turn until none passes; returns how many passed.
pub(super) fn exhaust(backed: &KeyringWithStore, texts: &[String], now: u64) -> usize {
    let turns = texts.iter().cycle().take(1_000);
    turns.filter(|text| backed.allows(text, at(now))).count()
}

#[test]
fn a_clock_that_was_set_back_far_costs_one_interval() {
    const THEN: u64 = 20 * HOUR;
    for back in [HOUR + 2 * MINUTE, 2 * HOUR, 9 * HOUR, THEN] {
        for (backed, texts) in meters(Millis::from_secs(60)) {
            assert_eq!(exhaust(&backed, &texts, THEN), 60);
            let now = THEN - back;
            assert_eq!(
                exhaust(&backed, &texts, now),
                0,
                "nothing is granted: {back}"
            );
            assert_eq!(exhaust(&backed, &texts, now + INTERVAL - 1), 0, "{back}");
            for intervals in 1..5 {
                let now = now + intervals * INTERVAL;
                assert_eq!(exhaust(&backed, &texts, now), 1, "{back} {intervals}");
            }
            assert_eq!(exhaust(&backed, &texts, now + 10 * HOUR), 60, "{back}");
        }
    }
}

#[test]
fn a_clock_that_was_set_back_a_little_is_waited_for() {
    const THEN: u64 = 20 * HOUR;
    for back in [1, SECOND, MINUTE] {
        for (backed, texts) in meters(Millis::from_secs(60)) {
            assert_eq!(exhaust(&backed, &texts, THEN), 60);
            for now in [THEN - back, THEN, THEN + INTERVAL - 1] {
                assert_eq!(exhaust(&backed, &texts, now), 0, "{back} {now}");
            }
            assert_eq!(exhaust(&backed, &texts, THEN + INTERVAL), 1, "{back}");
        }
    }
}

/// P6 in real time: in any span of it, no more passes than a burst and what became
/// available meanwhile, even if the clock is set back again and again or is read out of
/// order.
#[test]
fn p6_no_setting_back_and_no_disorder_lets_more_pass() {
    let mut rng = TestRng::seeded(7);
    for (is_set_back, rounds) in [(true, 40), (false, 40)] {
        for round in 0..rounds {
            for (backed, texts) in meters(Millis::ZERO) {
                let (mut time, mut offset) = (0, 100 * HOUR);
                let mut passed = Vec::new();
                for turn in 0..600 {
                    time += rng.below(2 * INTERVAL);
                    let mut now = time + offset;
                    match is_set_back {
                        true if rng.below(40) == 0 => {
                            offset = offset.saturating_sub(rng.below(4 * HOUR));
                            now = time + offset;
                        }
                        true => {}
                        false => now -= rng.below(MINUTE),
                    }
                    let text = &texts[turn % texts.len()];
                    // Now and then as fast as possible.
                    for _ in 0..=rng.below(8) {
                        if backed.allows(text, at(now)) {
                            // Out of order: the time that was read counts.
                            passed.push(if is_set_back { time } else { now });
                        }
                    }
                }
                assert!(passed.len() > 100, "{round}: {} passed", passed.len());
                for first in 0..passed.len() {
                    let (mut begin, mut end) = (passed[first], passed[first]);
                    for (count, instant) in (1..).zip(&passed[first..]) {
                        (begin, end) = (begin.min(*instant), end.max(*instant));
                        let most = 60 + (end - begin) / INTERVAL;
                        assert!(count <= most, "{round}: {count} of {most}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_limit_that_recovers_sooner_is_not_delayed_by_the_old_one() {
    let mut service = Service::structured();
    let per = |limit, window| RateLimit::new(limit, Millis::new(window)).unwrap();
    let mut record = service.issue(&client().rate_limit(per(24, 24 * HOUR)));
    let texts = [record.key.expose().to_owned()];
    let backed = KeyringWithStore::new(&service);
    backed.put(&record.record);
    assert_eq!(exhaust(&backed, &texts, 0), 24);
    // Closed for a while and opened again: this takes nothing off.
    for limit in [
        RateLimit::new(0, Millis::new(HOUR)).unwrap(),
        per(24, 24 * HOUR),
    ] {
        record.record.rate_limit = Some(limit);
        backed.change(&record.record);
        assert_eq!(exhaust(&backed, &texts, HOUR - 1), 0);
    }
    // What was spent stays spent, but the new limit determines when it is available
    // again.
    record.record.rate_limit = Some(per(60, HOUR));
    backed.change(&record.record);
    assert_eq!(backed.refuses(&texts[0], at(HOUR)), Some(Cause::RateLimit));
    assert_eq!(exhaust(&backed, &texts, HOUR + INTERVAL), 1);
    assert_eq!(exhaust(&backed, &texts, 3 * HOUR), 60);
}

/// P6: the limits of a pair may differ if one of the records was changed. The shorter one
/// takes nothing off what was spent under the longer one.
#[test]
fn p6_keys_with_different_limits_give_each_other_nothing() {
    let mut service = Service::structured();
    let per = |limit, window| RateLimit::new(limit, Millis::new(window)).unwrap();
    let first = service.issue(&client().rate_limit(per(24, 24 * HOUR)));
    let (format, none) = (service.format.clone(), PepperRing::none());
    let policy = RotationPolicy::default()
        .with_overlap(Millis::from_days(7))
        .unwrap();
    let rng = &mut service.rng;
    let rotated = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let mut successor = rotated.successor.clone();
    successor.rate_limit = Some(per(60, HOUR));
    let backed = KeyringWithStore::new(&service);
    backed.put(&rotated.changed[0]);
    backed.put(&successor);
    let texts = [first.key.expose(), rotated.key.expose()];
    let mut of_first = 0;
    for turn in 0..1_000 {
        of_first += usize::from(backed.allows(texts[0], at(turn)));
        let _ = backed.allows(texts[1], at(turn));
    }
    assert!(of_first <= 24, "{of_first} passed a limit of 24");
}
