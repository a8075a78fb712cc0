//! Limits that a store keeps: loaded with the record, and returned with the uses. And what is
//! refused if a keyring has to forget.
use super::limits::exhaust;
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{Cause, Millis, PepperRing, RateLimit, RateState, RotationPolicy, Usage, rotate};

const HOUR: u64 = 3_600_000;

fn per_hour(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::new(HOUR)).unwrap()
}

#[test]
fn a_limit_survives_restarts_if_the_states_of_a_drain_are_written() {
    let mut service = Service::structured();
    let limit = per_hour(10);
    let issued = service.issue(&client().rate_limit(limit));
    let text = [issued.key.expose().to_owned()];
    let (mut stored, mut passed) = (RateState::default(), 0);
    for _ in 0..4 {
        let backed = KeyringWithStore::new(&service);
        backed.put(&issued.record);
        backed.put_usage(&issued.record.id, Usage::new(stored, None));
        for _ in 0..4 {
            passed += usize::from(backed.allows(&text[0], at(0)));
        }
        for used in backed.keyring.drain_uses() {
            assert_eq!(used.lineage, issued.record.id);
            assert_eq!(used.reach, Millis::new(HOUR));
            stored = stored.max(used.rate.unwrap());
        }
        assert_eq!(backed.keyring.drain_uses(), [], "no use, no state");
    }
    assert_eq!(passed, 10);
    assert_eq!(stored.full_at(), Some(at(HOUR)));
}

#[test]
fn what_another_process_wrote_counts_when_the_record_is_fetched_again() {
    let mut service = Service::structured();
    let limit = per_hour(10);
    let issued = service.issue(&client().rate_limit(limit));
    let text = [issued.key.expose().to_owned()];
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(&text[0], at(0)));
    let seven = (0..7).try_fold(RateState::default(), |state, _| limit.admit(state, at(0)));
    backed.put_usage(&issued.record.id, Usage::new(seven.unwrap(), None));
    backed.change(&issued.record);
    assert_eq!(exhaust(&backed, &text, 0), 3);
    // What is less than the keyring knows lowers nothing.
    backed.put_usage(&issued.record.id, Usage::default());
    backed.change(&issued.record);
    assert_eq!(exhaust(&backed, &text, 0), 0);
}

#[test]
fn a4_a_state_that_a_wrong_clock_left_in_the_store_costs_one_burst_once() {
    let mut service = Service::structured();
    let limit = per_hour(60);
    let single = service.issue(&client().rate_limit(limit));
    let counted = service.issue(&client().rate_limit(limit).uses(1_000).unwrap());
    for issued in [single, counted] {
        for bits in [
            limit
                .admit(RateState::default(), at(365 * 24 * HOUR))
                .unwrap()
                .to_bits(),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let text = [issued.key.expose().to_owned()];
            let backed = KeyringWithStore::new(&service);
            backed.put(&issued.record);
            let remaining = issued.record.remaining_uses;
            let wrong = Usage::new(RateState::from_bits(bits), remaining);
            backed.put_usage(&issued.record.id, wrong);
            assert_eq!(exhaust(&backed, &text, 0), 0);
            for minute in 1..10 {
                // It is fetched again and again, and not believed a second time.
                backed.change(&issued.record);
                assert_eq!(exhaust(&backed, &text, minute * HOUR / 60), 1, "{minute}");
            }
            assert_eq!(exhaust(&backed, &text, 3 * HOUR), 60);
        }
    }
}

#[test]
fn a_key_without_a_limit_takes_any_state_along() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = [issued.key.expose().to_owned()];
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let usage = Usage::new(RateState::from_bits(u64::MAX), None);
    backed.put_usage(&issued.record.id, usage);
    assert_eq!(exhaust(&backed, &text, 0), 1_000);
    let used = backed.keyring.drain_uses();
    assert_eq!((used[0].rate, used[0].reach), (None, Millis::ZERO));
    backed.put_usage(&issued.record.id, Usage::default());
    let mut limited = issued.record.clone();
    limited.rate_limit = Some(per_hour(60));
    backed.change(&limited);
    assert_eq!(exhaust(&backed, &text, 0), 0);
    assert_eq!(exhaust(&backed, &text, 2 * HOUR), 60);
}

#[test]
fn the_uses_of_a_store_count_where_the_record_has_none() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = [issued.key.expose().to_owned()];
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    backed.put_usage(&issued.record.id, Usage::new(RateState::default(), Some(2)));
    assert_eq!(exhaust(&backed, &text, 0), 2);
    assert_eq!(backed.refuses(&text[0], at(0)), Some(Cause::UsesSpent));
}

#[test]
fn a_drain_returns_the_state_of_an_evicted_key() {
    let mut service = Service::structured();
    let limit = per_hour(10);
    let keys: Vec<_> = (0..3)
        .map(|_| service.issue(&client().rate_limit(limit)))
        .collect();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(1));
    for key in &keys {
        backed.put(&key.record);
        assert!(backed.allows(key.key.expose(), at(0)));
        assert!(backed.allows(key.key.expose(), at(0)));
    }
    let uses = backed.keyring.drain_uses();
    let left = |used: &keystile::Use| limit.quota(used.rate.unwrap(), at(0)).remaining();
    // One is cached, and as many are remembered as fit.
    assert_eq!(uses.iter().map(left).collect::<Vec<_>>(), [8, 8]);
}

#[test]
fn a14_a_keyring_that_has_to_forget_refuses_rather_than_grants() {
    for capacity in 1..=4 {
        for drains in [false, true] {
            let mut service = Service::structured();
            let keys: Vec<_> = (0..9)
                .map(|_| service.issue(&client().uses(7).unwrap()))
                .collect();
            let mut records: Vec<_> = keys.iter().map(|key| key.record.clone()).collect();
            let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(capacity));
            records.iter().for_each(|record| backed.put(record));
            let mut allowed = [0; 9];
            for turn in 0..1_500_usize {
                let key = turn * 5 % 9;
                let now = at(u64::try_from(turn).unwrap() * HOUR / 50);
                match backed.refuses(keys[key].key.expose(), now) {
                    None => allowed[key] += 1,
                    Some(cause) => {
                        assert!(matches!(cause, Cause::UsesSpent | Cause::StoreUnavailable))
                    }
                }
                if drains && turn % 8 == 7 {
                    for used in backed.keyring.drain_uses() {
                        let record = records
                            .iter_mut()
                            .find(|record| record.id == used.key_id)
                            .unwrap();
                        record.remaining_uses = record
                            .remaining_uses
                            .map(|left| left.checked_sub(used.count).unwrap());
                        // It is fetched again, which must not hold its meter twice.
                        backed.change(record);
                    }
                }
            }
            let stats = backed.keyring.stats();
            assert_eq!(stats.uses_lost, 0);
            assert!(allowed.iter().all(|allowed| *allowed <= 7), "{allowed:?}");
            if drains {
                assert_eq!(allowed, [7; 9], "{capacity}: what is written makes room");
            } else {
                assert!(stats.lineages_refused > 0, "{stats:?}");
                assert!(allowed.iter().filter(|allowed| **allowed == 7).count() >= capacity);
            }
        }
    }
}

#[test]
fn a_pair_that_was_evicted_comes_back_with_its_debt() {
    pairs_come_back_with_their_debts(3, 2, 1);
}

#[test]
fn a_pair_that_was_evicted_owes_for_longer_than_records_are_cached() {
    pairs_come_back_with_their_debts(5, 4, 170_000);
}

/// Pairs of keys take turns in a keyring that has too little room for them, and within a time in
/// which no request is free again.
fn pairs_come_back_with_their_debts(count: usize, capacity: usize, interval: u64) {
    let mut service = Service::structured();
    let (format, none) = (service.format.clone(), PepperRing::none());
    let mut pairs = Vec::new();
    for _ in 0..count {
        let first = service.issue(&client().rate_limit(per_hour(2)));
        let policy = RotationPolicy::default();
        let rng = &mut service.rng;
        let rotated = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
        pairs.push((first.key.expose().to_owned(), rotated));
    }
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(capacity));
    for (_, rotated) in &pairs {
        backed.put(&rotated.changed[0]);
        backed.put(&rotated.successor);
    }
    let mut now = 0;
    for round in 0..2 {
        for (text, rotated) in &pairs {
            let texts = [text.clone(), rotated.key.expose().to_owned()];
            let passed = exhaust(&backed, &texts, now);
            assert_eq!(passed, if round == 0 { 2 } else { 0 }, "{round}");
            now += interval;
        }
    }
    assert!(backed.keyring.stats().evictions > 4);
}

#[test]
fn a_state_of_a_store_is_taken_by_the_callers_clock_after_a_step_back() {
    let mut service = Service::structured();
    let limit = per_hour(60);
    let first = service.issue(&client().rate_limit(limit));
    let backed = KeyringWithStore::new(&service);
    backed.put(&first.record);
    assert!(backed.allows(first.key.expose(), at(3 * HOUR)));
    assert!(backed.allows(first.key.expose(), at(HOUR)));
    let other = service.issue(&client().rate_limit(limit));
    let half = (0..30).try_fold(RateState::default(), |state, _| {
        limit.admit(state, at(HOUR))
    });
    backed.put(&other.record);
    backed.put_usage(&other.record.id, Usage::new(half.unwrap(), None));
    let text = [other.key.expose().to_owned()];
    assert_eq!(exhaust(&backed, &text, HOUR), 30);
}

#[test]
fn a_stale_record_makes_room_before_one_that_is_used() {
    let mut service = Service::structured();
    let [used, stale, new] = [(); 3].map(|()| service.issue(&client()));
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(2));
    for issued in [&used, &stale] {
        backed.put(&issued.record);
        assert!(backed.allows(issued.key.expose(), at(0)));
    }
    backed.keyring.invalidate(&stale.record.id);
    backed.put(&new.record);
    assert!(backed.allows(new.key.expose(), at(0)));
    assert!(backed.cached(used.key.expose(), at(0)).is_some());
}

#[test]
fn a_key_that_owes_its_limit_something_stays_longer() {
    let mut service = Service::structured();
    let owing = service.issue(&client().rate_limit(per_hour(2)));
    let [plain, new] = [(); 2].map(|()| service.issue(&client()));
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(2));
    for issued in [&owing, &plain, &new] {
        backed.put(&issued.record);
        assert!(backed.allows(issued.key.expose(), at(0)));
    }
    assert!(backed.cached(owing.key.expose(), at(0)).is_some());
    assert!(backed.cached(plain.key.expose(), at(0)).is_none());
}

#[test]
fn a_record_that_was_fetched_again_holds_its_meter_once() {
    let mut service = Service::structured();
    let request = client().uses(3).unwrap();
    let keys: Vec<_> = (0..3).map(|_| service.issue(&request)).collect();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(1));
    let mut record = keys[0].record.clone();
    for _ in 0..3 {
        backed.change(&record);
        assert!(backed.allows(keys[0].key.expose(), at(0)));
    }
    assert_eq!(backed.drained(), 3);
    assert_eq!(backed.drained(), 0);
    record.remaining_uses = Some(0);
    backed.put(&record);
    for key in &keys[1..] {
        backed.put(&key.record);
        assert_eq!(exhaust(&backed, &[key.key.expose().to_owned()], 0), 3);
    }
    assert_eq!(
        backed.refuses(keys[0].key.expose(), at(0)),
        Some(Cause::StoreUnavailable)
    );
}
