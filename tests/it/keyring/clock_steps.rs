//! A clock that is set back refuses nothing that was free at the latest reading, and revives
//! nothing that was seen to end.
use core::cell::Cell;

use super::limits::{exhaust, meters};
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{Cause, Decision, Millis, RateLimit, Request};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const YEAR: u64 = 365 * 24 * HOUR;
/// The steps back that are tried: within the skew, and beyond it.
const STEPS: [u64; 5] = [SECOND, 59 * SECOND, 61 * SECOND, HOUR, 20 * HOUR];

#[test]
fn a6_what_was_free_at_the_latest_reading_passes_after_any_step_back() {
    const THEN: u64 = 30 * HOUR;
    for back in STEPS {
        for skew in [0, 60] {
            for (backed, texts) in meters(Millis::from_secs(skew)) {
                assert!(backed.allows(&texts[0], at(THEN)));
                let now = THEN - back;
                let Decision::Allow(allowed) = backed.ask(&texts[0], &Request::new(), at(now))
                else {
                    panic!("refused after a step back of {back} ms");
                };
                let quota = allowed.quota.unwrap();
                assert_eq!((quota.remaining(), quota.at()), (58, at(now)), "{back}");
                assert_eq!(exhaust(&backed, &texts, now), 58, "{back}");
                // Nothing is granted either. What accrues may wait until a small step is
                // caught up, and no longer.
                assert_eq!(exhaust(&backed, &texts, now), 0, "{back}");
                let waits = if back <= MINUTE { back } else { 0 };
                let next = now + waits + MINUTE;
                assert_eq!(exhaust(&backed, &texts, next - 1), 0, "{back}");
                assert_eq!(exhaust(&backed, &texts, next), 1, "{back}");
            }
        }
    }
}

#[test]
fn a6_a_fast_limit_is_not_closed_by_a_step_back() {
    let mut service = Service::structured();
    let limit = RateLimit::new(10, Millis::from_secs(1)).unwrap();
    let issued = service.issue(&client().rate_limit(limit));
    let text = issued.key.expose();
    for back in STEPS {
        let backed = KeyringWithStore::new(&service);
        backed.put(&issued.record);
        assert!(backed.allows(text, at(30 * HOUR)));
        for request in 1..10 {
            let now = 30 * HOUR - back + request;
            assert!(backed.allows(text, at(now)), "{back} {request}");
        }
    }
}

#[test]
fn a4_a_wrong_reading_closes_no_limit_whatever_year_it_shows() {
    let mut service = Service::structured();
    let limit = RateLimit::new(60, Millis::new(HOUR)).unwrap();
    let request = client().rate_limit(limit).never_expires();
    let single = service.issue(&request);
    let counted = service.issue(&request.clone().uses(10_000).unwrap());
    for issued in [single, counted] {
        let text = [issued.key.expose().to_owned()];
        for years in [1, 400, 480, 489, 499, 520, 7_000] {
            let backed = KeyringWithStore::new(&service);
            backed.put(&issued.record);
            assert!(backed.allows(&text[0], at(0)));
            let _ = backed.allows(&text[0], at(years * YEAR));
            let passed = exhaust(&backed, &text, SECOND);
            assert!(passed <= 60, "{years}: {passed}");
            for minute in 1..=3 {
                let passed = exhaust(&backed, &text, SECOND + minute * MINUTE);
                assert_eq!(passed, 1, "{years}: one a minute from now on");
            }
        }
    }
}

#[test]
fn a4_a_single_wrong_reading_costs_at_most_one_burst() {
    for ahead in [
        2 * MINUTE,
        HOUR,
        YEAR,
        400 * YEAR,
        480 * YEAR,
        520 * YEAR,
        7_000 * YEAR,
    ] {
        for (backed, texts) in meters(Millis::from_secs(60)) {
            assert!(backed.allows(&texts[0], at(0)));
            let _ = backed.allows(&texts[0], at(ahead));
            let passed = exhaust(&backed, &texts, SECOND);
            assert!(passed <= 60, "{ahead}: {passed}");
            for minute in 1..=3 {
                let passed = exhaust(&backed, &texts, SECOND + minute * MINUTE);
                assert_eq!(passed, 1, "{ahead}: one a minute from now on");
            }
            assert_eq!(exhaust(&backed, &texts, 3 * HOUR), 60, "{ahead}");
        }
    }
}

#[test]
fn a_state_is_returned_by_the_callers_clock_after_a_step_back() {
    for (backed, texts) in meters(Millis::from_secs(60)) {
        let limit = RateLimit::new(60, Millis::new(HOUR)).unwrap();
        assert!(backed.allows(&texts[0], at(30 * HOUR)));
        assert!(backed.allows(&texts[0], at(HOUR)));
        let used = backed.keyring.drain_uses();
        let left = limit.quota(used[0].rate.unwrap(), at(HOUR)).remaining();
        assert_eq!(left, 58);
    }
}

thread_local! {
    static MONOTONIC: Cell<u64> = const { Cell::new(0) };
}

fn monotonic() -> Millis {
    Millis::new(MONOTONIC.get())
}

/// A key that ends after two hours, and a keyring whose two clocks have agreed for a while.
fn agreed(clock: Option<fn() -> Millis>) -> (Service, KeyringWithStore, keystile::Issued) {
    let mut service = Service::structured();
    let request = client().expires_in(Millis::new(2 * HOUR)).unwrap();
    let issued = service.issue(&request);
    let other = service.issue(&client());
    let backed = KeyringWithStore::set_up(&service, |builder| match clock {
        Some(clock) => builder.monotonic_clock(clock),
        None => builder,
    });
    backed.put(&issued.record);
    backed.put(&other.record);
    for minute in 0..3 {
        MONOTONIC.set(minute * MINUTE);
        backed.change(&other.record);
        assert!(backed.allows(other.key.expose(), at(minute * MINUTE)));
    }
    MONOTONIC.set(0);
    (service, backed, issued)
}

#[test]
fn what_was_seen_to_end_stays_ended_however_far_the_clock_is_set_back() {
    let (_, backed, issued) = agreed(Some(monotonic));
    let text = issued.key.expose();
    MONOTONIC.set(2 * HOUR);
    assert_eq!(backed.refuses(text, at(2 * HOUR)), Some(Cause::Expired));
    for back in STEPS.into_iter().filter(|back| *back <= HOUR) {
        for _ in 0..2 {
            assert_eq!(
                backed.refuses(text, at(2 * HOUR - back)),
                Some(Cause::Expired),
                "{back}"
            );
            backed.keyring.invalidate(&issued.record.id);
        }
    }
    // Another version of the record is another matter.
    let mut renewed = issued.record.clone();
    renewed.version += 1;
    backed.change(&renewed);
    assert!(backed.allows(text, at(HOUR)));
}

#[test]
fn the_end_that_was_seen_is_the_one_that_is_told() {
    let (mut service, backed, issued) = agreed(Some(monotonic));
    let mut replaced = issued.record.clone();
    replaced.replaced_by = Some(service.issue(&client()).record.id);
    replaced.overlap_until = Some(at(HOUR));
    backed.change(&replaced);
    MONOTONIC.set(HOUR);
    for now in [HOUR, HOUR - 2 * MINUTE, 2 * MINUTE] {
        let refused = backed.refuses(issued.key.expose(), at(now));
        assert_eq!(refused, Some(Cause::Replaced), "{now}");
    }
}

#[test]
fn a_reading_that_monotonic_time_contradicts_ends_nothing() {
    let (_, backed, issued) = agreed(Some(monotonic));
    let text = issued.key.expose();
    MONOTONIC.set(HOUR);
    assert_eq!(backed.refuses(text, at(YEAR)), Some(Cause::Expired));
    assert!(backed.allows(text, at(HOUR)));
    // With no such clock, no reading is believed beyond the skew.
    let (_, backed, issued) = agreed(None);
    let text = issued.key.expose();
    assert_eq!(backed.refuses(text, at(2 * HOUR)), Some(Cause::Expired));
    assert_eq!(
        backed.refuses(text, at(2 * HOUR - MINUTE)),
        Some(Cause::Expired)
    );
    assert!(backed.allows(text, at(HOUR)));
}

/// A record that is looked at and not admitted, as for an explanation.
#[test]
fn what_was_seen_to_end_is_judged_as_ended_without_being_admitted() {
    let (_, backed, issued) = agreed(Some(monotonic));
    let (record, text) = (&issued.record, issued.key.expose());
    assert_eq!(backed.keyring.judged_at(record, at(HOUR)), at(HOUR));
    MONOTONIC.set(2 * HOUR);
    assert_eq!(backed.refuses(text, at(2 * HOUR)), Some(Cause::Expired));
    for back in [SECOND, 30 * MINUTE] {
        let judged_at = backed.keyring.judged_at(record, at(2 * HOUR - back));
        assert_eq!(judged_at, at(2 * HOUR), "{back}");
    }
    // Another version of the record is another matter.
    let mut renewed = record.clone();
    renewed.version += 1;
    let now = at(2 * HOUR - 30 * MINUTE);
    assert_eq!(backed.keyring.judged_at(&renewed, now), now);
}
