//! The usage of a lineage that an explanation is given is what the next decision finds: after a
//! limit or the uses were changed, for keys of a rotation, and for a key that was evicted.

use std::collections::HashMap;

use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{
    Decision, KeyRecord, Millis, PepperRing, RateLimit, Request, RotationPolicy, Usage, explain,
    rotate,
};

const SECOND: u64 = 1_000;

/// The codes and the waits of an explanation and of the request that follows it.
fn agree(
    service: &Service,
    backed: &KeyringWithStore,
    key: &(String, KeyRecord),
    now: u64,
) -> bool {
    let (text, record) = (&key.0, backed.record(&key.1.id));
    let now = at(now);
    let spent = backed.keyring.usage(&record, Usage::of(&record), now);
    let explained = explain(&service.verifier, &record, &Request::new(), &spent, now).decision;
    let decided = backed.ask(text, &Request::new(), now);
    let outcome = |decision: &Decision| match decision {
        Decision::Allow(_) => (None, None),
        Decision::Deny(denial) => (Some(denial.code()), denial.retry_after()),
    };
    assert_eq!(
        outcome(&explained),
        outcome(&decided),
        "{record:?} at {now:?}"
    );
    decided.is_allow()
}

fn changed(backed: &KeyringWithStore, key: &(String, KeyRecord), change: impl Fn(&mut KeyRecord)) {
    let mut record = backed.record(&key.1.id);
    change(&mut record);
    record.version += 1;
    backed.change(&record);
}

/// A single key, one with counted uses, and a pair of which the first is used before the second.
fn keys(service: &mut Service, limit: RateLimit) -> [Vec<(String, KeyRecord)>; 3] {
    let request = client().rate_limit(limit).never_expires();
    let single = service.issue(&request);
    let counted = service.issue(&request.clone().uses(3).unwrap());
    let first = service.issue(&request);
    let [single, counted] =
        [single, counted].map(|issued| vec![(issued.key.expose().to_owned(), issued.record)]);
    let pair = vec![(first.key.expose().to_owned(), first.record)];
    [single, counted, pair]
}

#[test]
fn an_explanation_after_a_change_says_what_the_next_request_gets() {
    let limits = [
        RateLimit::new(2, Millis::from_days(1)).unwrap(),
        RateLimit::new(2, Millis::from_secs(60)).unwrap(),
        RateLimit::new(10, Millis::from_secs(1)).unwrap(),
        RateLimit::new(1_000, Millis::from_hours(1)).unwrap(),
    ];
    let mut seen = HashMap::new();
    for (before, after) in limits.iter().flat_map(|a| limits.map(|b| (*a, b))) {
        let mut service = Service::structured();
        for keys in keys(&mut service, before) {
            let backed = KeyringWithStore::new(&service);
            let mut key = keys[0].clone();
            backed.put(&key.1);
            for _ in 0..3 {
                *seen.entry(agree(&service, &backed, &key, 0)).or_insert(0) += 1;
            }
            changed(&backed, &key, |record| {
                record.rate_limit = Some(after);
                record.remaining_uses = record.remaining_uses.map(|_| 7);
            });
            let mut now = 0;
            for step in [
                0,
                0,
                50,
                SECOND,
                59 * SECOND,
                3_600 * SECOND,
                86_400 * SECOND,
            ] {
                now += step;
                for _ in 0..3 {
                    *seen.entry(agree(&service, &backed, &key, now)).or_insert(0) += 1;
                }
            }
            // The successor goes on from what its predecessor has spent in a meter of its own.
            let (format, none) = (service.format.clone(), PepperRing::none());
            let (policy, rng) = (RotationPolicy::default(), &mut service.rng);
            let current = backed.record(&key.1.id);
            let rotated = rotate(&current, &[], &policy, &format, &none, rng, at(now)).unwrap();
            for record in &rotated.changed {
                backed.change(record);
            }
            backed.put(&rotated.successor);
            key = (rotated.key.expose().to_owned(), rotated.successor);
            for _ in 0..4 {
                *seen.entry(agree(&service, &backed, &key, now)).or_insert(0) += 1;
            }
        }
    }
    assert!(seen[&true] > 100 && seen[&false] > 100, "{seen:?}");
}

#[test]
fn uses_that_only_a_keyring_counts_are_explained() {
    let mut service = Service::structured();
    let issued = service.issue(&client().uses(2).unwrap());
    let key = (issued.key.expose().to_owned(), issued.record);
    let backed = KeyringWithStore::new(&service);
    backed.put(&key.1);
    // The store's record still has two uses left.
    let allowed = [(); 4].map(|()| agree(&service, &backed, &key, 0));
    assert_eq!(allowed, [true, true, false, false]);
    let stored = Usage::of(&key.1);
    assert_eq!(
        backed.keyring.usage(&key.1, stored, at(0)).remaining,
        Some(0)
    );
    changed(&backed, &key, |record| record.remaining_uses = Some(3));
    let more = [(); 2].map(|()| agree(&service, &backed, &key, 0));
    assert_eq!(more, [true, false], "two of the three were made");
}

#[test]
fn what_an_evicted_key_owes_is_explained() {
    let mut service = Service::structured();
    let hourly = RateLimit::new(1, Millis::from_hours(1)).unwrap();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(2));
    let keys: Vec<_> = (0..9)
        .map(|_| {
            let issued = service.issue(&client().rate_limit(hourly));
            let key = (issued.key.expose().to_owned(), issued.record);
            backed.put(&key.1);
            key
        })
        .collect();
    let ask = |key| agree(&service, &backed, key, 0);
    assert!(keys.iter().all(ask), "each has its first request");
    assert!(!keys[..3].iter().any(ask), "an evicted key still owes");
}
