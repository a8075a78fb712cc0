//! What is spent and counted in the keyring: limits, uses, and what remains of both if a
//! record is refreshed, rotated or evicted.
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{
    Cause, Decision, Issued, KeyRecord, Millis, PepperRing, RateLimit, Request, Requirement,
    RotationPolicy, Use, rotate,
};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
/// The default.
const TTL: u64 = 300 * SECOND;

fn per_hour(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::new(HOUR)).unwrap()
}

/// A key, its record after it is replaced, and its successor's text and record.
struct Pair {
    first: Issued,
    replaced: KeyRecord,
    successor_text: String,
    successor: KeyRecord,
}

fn pair(service: &mut Service, limit: u32, uses: u64) -> Pair {
    let request = client().rate_limit(per_hour(limit)).uses(uses).unwrap();
    let first = service.issue(&request);
    let (format, none) = (service.format.clone(), PepperRing::none());
    let policy = RotationPolicy::default();
    let rng = &mut service.rng;
    let rotated = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    Pair {
        first,
        replaced: rotated.changed[0].clone(),
        successor_text: rotated.key.expose().to_owned(),
        successor: rotated.successor,
    }
}

#[test]
fn a_limit_survives_a_refresh_and_a_clock_that_steps_back() {
    let mut service = Service::structured();
    let limit = RateLimit::new(3, Millis::new(3 * HOUR)).unwrap();
    let issued = service.issue(&client().rate_limit(limit));
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    for _ in 0..3 {
        assert!(backed.allows(text, at(HOUR)));
        backed.change(&issued.record);
    }
    assert_eq!(backed.refuses(text, at(HOUR)), Some(Cause::RateLimit));
    let minute = 60 * SECOND;
    for now in [HOUR - minute, HOUR, HOUR + TTL, 2 * HOUR - 1] {
        assert_eq!(
            backed.refuses(text, at(now)),
            Some(Cause::RateLimit),
            "{now}"
        );
        backed.change(&issued.record);
    }
    assert!(backed.allows(text, at(2 * HOUR)));
    assert_eq!(backed.refuses(text, at(2 * HOUR)), Some(Cause::RateLimit));
}

#[test]
fn uses_are_reported_once_with_the_second_of_the_last_one() {
    let mut service = Service::structured();
    let (one, two) = (service.issue(&client()), service.issue(&client()));
    let backed = KeyringWithStore::new(&service);
    backed.put(&one.record);
    backed.put(&two.record);
    assert!(backed.keyring.drain_uses().is_empty());
    for now in [0, 1, 999, 5_000, 5_999] {
        assert!(backed.allows(one.key.expose(), at(now)));
    }
    assert!(backed.allows(two.key.expose(), at(7_000)));
    // A refused request is not a use.
    let more = Requirement::parse("payroll:pay").unwrap();
    let request = Request::new().requires(&more);
    assert!(!backed.ask(two.key.expose(), &request, at(8_000)).is_allow());
    // A refresh loses neither the count nor the instant.
    backed.change(&one.record);
    let mut uses = backed.keyring.drain_uses();
    uses.sort_by_key(|used| used.last_used_at);
    let told = |used: &Use| (used.key_id, used.lineage, used.count, used.last_used_at);
    assert_eq!(
        uses.iter().map(told).collect::<Vec<_>>(),
        [
            (one.record.id, one.record.id, 5, Some(at(5_000))),
            (two.record.id, two.record.id, 1, Some(at(7_000))),
        ]
    );
    assert!(backed.keyring.drain_uses().is_empty());
    assert!(backed.allows(one.key.expose(), at(9_000)));
    let uses = backed.keyring.drain_uses();
    assert_eq!((uses.len(), uses[0].count), (1, 1));
    assert_eq!(uses[0].last_used_at, Some(at(9_000)));
}

#[test]
fn remaining_uses_survive_a_refresh_and_follow_the_store_down() {
    let mut service = Service::structured();
    let issued = service.issue(&client().uses(10).unwrap());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let left = |backed: &KeyringWithStore| match backed.ask(text, &Request::new(), at(0)) {
        Decision::Allow(allowed) => allowed.remaining_uses,
        Decision::Deny(_) => None,
    };
    assert_eq!(left(&backed), Some(9));
    assert_eq!(left(&backed), Some(8));
    // The store does not know about them yet.
    backed.change(&issued.record);
    assert_eq!(left(&backed), Some(7));
    // More were used elsewhere.
    let mut fewer = issued.record.clone();
    fewer.remaining_uses = Some(2);
    backed.change(&fewer);
    assert_eq!(
        [left(&backed), left(&backed), left(&backed)],
        [Some(1), Some(0), None]
    );
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::UsesSpent));
    assert_eq!(backed.drained(), 5);
}

#[test]
fn nothing_is_spent_by_what_is_refused_before() {
    let mut service = Service::structured();
    let limit = per_hour(1);
    let issued = service.issue(&client().rate_limit(limit).uses(5).unwrap());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let write = Requirement::parse("write").unwrap();
    for _ in 0..3 {
        let request = Request::new().requires(&write);
        let denied = backed.ask(text, &request, at(0));
        assert_eq!(denied.denial().unwrap().cause(), Cause::Permission);
    }
    let Decision::Allow(allowed) = backed.ask(text, &Request::new(), at(0)) else {
        panic!("something was spent");
    };
    assert_eq!(
        (allowed.quota.unwrap().remaining(), allowed.remaining_uses),
        (0, Some(4))
    );
    // Refused by the limit, it costs no use.
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::RateLimit));
    let Decision::Allow(allowed) = backed.ask(text, &Request::new(), at(HOUR)) else {
        panic!("a use was spent");
    };
    assert_eq!(allowed.remaining_uses, Some(3));
}

#[test]
fn a_rotated_pair_shares_limit_and_uses_in_whatever_order_it_is_met() {
    // Uses of the first key before the rotation; whether the keyring is notified of it;
    // which key is presented first after it; whether uses are counted as well.
    let cases = (0..4).flat_map(|before| (0..8).map(move |bits| (before, bits)));
    for (before, bits) in cases {
        let (told, successor_first, counted) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
        let mut service = Service::structured();
        let uses = if counted { 4 } else { 1_000 };
        let mut pair = pair(&mut service, if counted { 1_000 } else { 4 }, uses);
        if !counted {
            for record in [
                &mut pair.first.record,
                &mut pair.replaced,
                &mut pair.successor,
            ] {
                record.remaining_uses = None;
            }
        }
        let backed = KeyringWithStore::new(&service);
        backed.put(&pair.first.record);
        for _ in 0..before {
            assert!(backed.allows(pair.first.key.expose(), at(0)));
        }
        backed.put(&pair.replaced);
        backed.put(&pair.successor);
        if told {
            backed.keyring.invalidate(&pair.replaced.id);
            backed.keyring.invalidate(&pair.successor.id);
        }
        let mut texts = [pair.first.key.expose(), &pair.successor_text];
        if successor_first {
            texts.reverse();
        }
        let mut allowed = before;
        for _ in 0..6 {
            allowed += texts
                .iter()
                .filter(|text| backed.allows(text, at(0)))
                .count();
        }
        assert_eq!(allowed, 4, "{before} {told} {successor_first} {counted}");
        assert_eq!(backed.drained(), 4);
    }
}

#[test]
fn the_records_fit_the_capacity_and_those_in_use_stay() {
    let mut service = Service::structured();
    let keys: Vec<_> = (0..1_064).map(|_| service.issue(&client())).collect();
    let (hot, cold) = keys.split_at(64);
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(128));
    keys.iter().for_each(|key| backed.put(&key.record));
    let mut hot_fetches = 0;
    for (turn, key) in cold.iter().enumerate() {
        for hot in hot {
            assert!(backed.allows(hot.key.expose(), at(turn as u64)));
        }
        hot_fetches += backed.fetches();
        assert!(backed.allows(key.key.expose(), at(turn as u64)));
        backed.fetches();
        assert!(backed.keyring.stats().entries <= 128);
    }
    let stats = backed.keyring.stats();
    assert_eq!(stats.entries, 128);
    assert_eq!(stats.evictions, stats.fetches - 128);
    let asked = (hot.len() * cold.len()) as u64;
    assert!(
        hot_fetches * 100 <= asked,
        "{hot_fetches} of {asked} asked the store"
    );
}

#[test]
fn evicted_keys_keep_their_debt_and_new_ones_are_decided_even_if_all_are_in_debt() {
    for capacity in [1, 2, 6, 11] {
        let mut service = Service::structured();
        let request = client().rate_limit(per_hour(2));
        let keys: Vec<_> = (0..12).map(|_| service.issue(&request)).collect();
        let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(capacity));
        keys.iter().for_each(|key| backed.put(&key.record));
        // Debts of twice the capacity are remembered.
        let keys = &keys[..keys.len().min(2 * capacity)];
        let mut allowed = vec![0; keys.len()];
        for _ in 0..5 {
            for (key, allowed) in keys.iter().zip(&mut allowed) {
                *allowed += u32::from(backed.allows(key.key.expose(), at(0)));
            }
        }
        assert!(backed.keyring.stats().evictions > 0);
        assert!(
            allowed.iter().all(|allowed| *allowed == 2),
            "{capacity}: {allowed:?}"
        );
        for key in keys {
            assert!(backed.allows(key.key.expose(), at(HOUR / 2)));
            assert_eq!(
                backed.refuses(key.key.expose(), at(HOUR / 2)),
                Some(Cause::RateLimit)
            );
        }
    }
}

#[test]
fn evicted_keys_keep_their_remaining_uses_until_they_are_drained() {
    let mut service = Service::structured();
    let request = client().uses(3).unwrap();
    let keys: Vec<_> = (0..4).map(|_| service.issue(&request)).collect();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(2));
    keys.iter().for_each(|key| backed.put(&key.record));
    let mut allowed = [0; 4];
    for turn in 0..5 {
        for (key, allowed) in keys.iter().zip(&mut allowed) {
            *allowed += u32::from(backed.allows(key.key.expose(), at(turn)));
        }
    }
    assert!(backed.keyring.stats().evictions > 10);
    assert_eq!(allowed, [3; 4]);
}

#[test]
fn uses_of_evicted_keys_are_reported_or_counted_as_lost() {
    let mut service = Service::structured();
    let keys: Vec<_> = (0..64).map(|_| service.issue(&client())).collect();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(8));
    keys.iter().for_each(|key| backed.put(&key.record));
    let mut told = 0;
    for key in &keys {
        assert!(backed.allows(key.key.expose(), at(0)));
        assert!(backed.allows(key.key.expose(), at(0)));
        told += backed.drained();
    }
    assert_eq!((told, backed.keyring.stats().uses_lost), (128, 0));
    // If no one drains, as many keys are remembered as are cached.
    for key in &keys {
        assert!(backed.allows(key.key.expose(), at(0)));
    }
    let (told, lost) = (backed.drained(), backed.keyring.stats().uses_lost);
    assert_eq!((told, told + lost), (16, 64));
}

#[test]
fn a_limit_that_changes_takes_its_debt_along() {
    let mut service = Service::structured();
    let mut issued = service.issue(&client().rate_limit(per_hour(10)));
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    for _ in 0..10 {
        assert!(backed.allows(text, at(0)));
    }
    // 20 an hour, of which 10 are spent; then 5, all of which are spent.
    issued.record.rate_limit = Some(per_hour(20));
    backed.change(&issued.record);
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::RateLimit));
    assert!(backed.allows(text, at(TTL)));
    issued.record.rate_limit = None;
    backed.change(&issued.record);
    assert!((0..100).all(|_| backed.allows(text, at(TTL))));
    issued.record.rate_limit = Some(per_hour(5));
    backed.change(&issued.record);
    assert_eq!(backed.refuses(text, at(TTL)), Some(Cause::RateLimit));
}
