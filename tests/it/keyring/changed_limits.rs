//! A limit or a count of uses that was raised is in force at once: for single keys, for the
//! keys of a lineage, and for keys whose uses are counted.
use super::limits::exhaust;
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{Cause, KeyRecord, Millis, PepperRing, RateLimit, RotationPolicy, rotate};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

fn per(limit: u32, window: Millis) -> RateLimit {
    RateLimit::new(limit, window).unwrap()
}

/// Texts and records: of a single key, of one whose uses are counted, and of a pair.
fn kinds(service: &mut Service, limit: RateLimit) -> [Vec<(String, KeyRecord)>; 3] {
    let request = client().rate_limit(limit).never_expires();
    let single = service.issue(&request);
    let counted = service.issue(&request.clone().uses(100_000).unwrap());
    let first = service.issue(&request);
    let policy = RotationPolicy::default();
    let (format, none) = (service.format.clone(), PepperRing::none());
    let rng = &mut service.rng;
    let pair = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let text = |text: &str| text.to_owned();
    [
        vec![(text(single.key.expose()), single.record)],
        vec![(text(counted.key.expose()), counted.record)],
        vec![
            (text(first.key.expose()), pair.changed[0].clone()),
            (text(pair.key.expose()), pair.successor),
        ],
    ]
}

fn set_limit(backed: &KeyringWithStore, record: &mut KeyRecord, limit: RateLimit) {
    record.rate_limit = Some(limit);
    record.version += 1;
    backed.change(record);
}

#[test]
fn a5_a_raised_limit_is_in_force_at_once_and_the_old_debt_is_one_burst_at_most() {
    let mut service = Service::structured();
    let old = per(24, Millis::from_days(366));
    for (kind, mut keys) in kinds(&mut service, old).into_iter().enumerate() {
        let backed = KeyringWithStore::new(&service);
        keys.iter().for_each(|(_, record)| backed.put(record));
        let texts: Vec<_> = keys.iter().map(|(text, _)| text.clone()).collect();
        assert_eq!(exhaust(&backed, &texts, 0), 24, "{kind}");
        // All keys get it, one after the other.
        for (_, record) in &mut keys {
            set_limit(&backed, record, per(3_600, Millis::from_hours(1)));
        }
        assert_eq!(exhaust(&backed, &texts, 0), 0, "{kind}: nothing is granted");
        assert_eq!(exhaust(&backed, &texts, SECOND), 1, "{kind}");
        assert_eq!(
            exhaust(&backed, &texts, 2 * HOUR),
            1_000,
            "{kind}: as many as ask"
        );
        assert!(backed.allows(&texts[0], at(2 * HOUR)));
    }
}

#[test]
fn a5_a_raise_of_one_key_of_a_pair_is_in_force_and_gives_the_other_nothing() {
    let mut service = Service::structured();
    let [_, _, mut pair] = kinds(&mut service, per(24, Millis::from_days(366)));
    let backed = KeyringWithStore::new(&service);
    pair.iter().for_each(|(_, record)| backed.put(record));
    let texts: Vec<_> = pair.iter().map(|(text, _)| text.clone()).collect();
    assert_eq!(exhaust(&backed, &texts, 0), 24);
    set_limit(&backed, &mut pair[1].1, per(60, Millis::from_hours(1)));
    assert_eq!(backed.refuses(&texts[1], at(0)), Some(Cause::RateLimit));
    for now in [0, SECOND, HOUR] {
        assert_eq!(backed.refuses(&texts[0], at(now)), Some(Cause::RateLimit));
    }
    assert_eq!(exhaust(&backed, &texts[1..], HOUR), 60);
    // And back: what was spent by then is not free again.
    set_limit(&backed, &mut pair[1].1, per(24, Millis::from_days(366)));
    assert_eq!(exhaust(&backed, &texts, HOUR), 0);
}

#[test]
fn a_lowered_limit_is_in_force_at_once() {
    let mut service = Service::structured();
    for (kind, mut keys) in kinds(&mut service, per(100, Millis::from_hours(1)))
        .into_iter()
        .enumerate()
    {
        let backed = KeyringWithStore::new(&service);
        keys.iter().for_each(|(_, record)| backed.put(record));
        let texts: Vec<_> = keys.iter().map(|(text, _)| text.clone()).collect();
        for _ in 0..50 {
            assert!(backed.allows(&texts[0], at(0)));
        }
        for (_, record) in &mut keys {
            set_limit(&backed, record, per(2, Millis::from_hours(1)));
        }
        let passed = exhaust(&backed, &texts, 0);
        assert!(passed <= 2, "{kind}: {passed}");
        let passed = exhaust(&backed, &texts, HOUR);
        assert!(passed <= 2, "{kind}: {passed}");
    }
}

#[test]
fn t23_a_raised_count_of_uses_is_followed_when_the_version_rose() {
    let mut service = Service::structured();
    let issued = service.issue(&client().uses(2).unwrap());
    let text = [issued.key.expose().to_owned()];
    let backed = KeyringWithStore::new(&service);
    let mut record = issued.record;
    backed.put(&record);
    assert_eq!(exhaust(&backed, &text, 0), 2);
    assert_eq!(backed.refuses(&text[0], at(0)), Some(Cause::UsesSpent));
    // An equal version is no raise, and an older one is not even admitted.
    record.remaining_uses = Some(100);
    backed.change(&record);
    assert_eq!(backed.refuses(&text[0], at(0)), Some(Cause::UsesSpent));
    // The store has 100 left, and does not know of two that were made.
    record.version += 1;
    backed.change(&record);
    assert_eq!(exhaust(&backed, &text, 1), 98);
    // They are drained and written, and the next drain confirms it.
    assert_eq!(backed.drained(), 100);
    assert_eq!(backed.drained(), 0);
    record.remaining_uses = Some(0);
    backed.change(&record);
    assert_eq!(backed.refuses(&text[0], at(1)), Some(Cause::UsesSpent));
    record.remaining_uses = Some(7);
    record.version += 1;
    backed.change(&record);
    assert_eq!(exhaust(&backed, &text, 2), 7);
    // A count that is no more, and is back.
    record.remaining_uses = None;
    record.version += 1;
    backed.change(&record);
    assert_eq!(exhaust(&backed, &text, 3), 1_000);
    assert_eq!(backed.drained() + backed.drained(), 1_007);
    record.remaining_uses = Some(3);
    record.version += 1;
    backed.change(&record);
    assert_eq!(exhaust(&backed, &text, 3), 3);
}

#[test]
fn t23_the_count_of_a_pair_is_raised_through_either_key() {
    for raised in 0..2 {
        let mut service = Service::structured();
        let first = service.issue(&client().uses(2).unwrap());
        let policy = RotationPolicy::default();
        let (format, none) = (service.format.clone(), PepperRing::none());
        let rng = &mut service.rng;
        let pair = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
        let mut records = [pair.changed[0].clone(), pair.successor];
        let texts = [first.key.expose().to_owned(), pair.key.expose().to_owned()];
        let backed = KeyringWithStore::new(&service);
        records.iter().for_each(|record| backed.put(record));
        assert_eq!(exhaust(&backed, &texts, 0), 2);
        records[raised].remaining_uses = Some(10);
        records[raised].version += 1;
        backed.change(&records[raised]);
        assert_eq!(exhaust(&backed, &texts[raised..=raised], 1), 8, "{raised}");
    }
}

#[test]
fn a5_a_debt_of_less_than_a_minute_is_one_burst_at_most_too() {
    let mut service = Service::structured();
    let old = per(10, Millis::from_secs(50));
    for (kind, mut keys) in kinds(&mut service, old).into_iter().enumerate() {
        let backed = KeyringWithStore::new(&service);
        keys.iter().for_each(|(_, record)| backed.put(record));
        let texts: Vec<_> = keys.iter().map(|(text, _)| text.clone()).collect();
        assert_eq!(exhaust(&backed, &texts, 0), 10, "{kind}");
        for (_, record) in &mut keys {
            set_limit(&backed, record, per(10, Millis::from_secs(1)));
        }
        assert_eq!(exhaust(&backed, &texts, 0), 0, "{kind}");
        assert_eq!(exhaust(&backed, &texts, SECOND), 10, "{kind}");
    }
}

#[test]
fn keys_of_a_pair_with_different_limits_count_for_each_other() {
    let mut service = Service::structured();
    let [_, _, mut pair] = kinds(&mut service, per(10, Millis::from_hours(1)));
    set_limit(
        &KeyringWithStore::new(&service),
        &mut pair[1].1,
        per(1_000, Millis::from_hours(1)),
    );
    let backed = KeyringWithStore::new(&service);
    pair.iter().for_each(|(_, record)| backed.put(record));
    assert!(backed.allows(&pair[0].0, at(0)));
    for _ in 0..9 {
        assert!(backed.allows(&pair[1].0, at(0)));
    }
    assert_eq!(backed.refuses(&pair[0].0, at(0)), Some(Cause::RateLimit));
    assert!(backed.allows(&pair[1].0, at(0)));
}

#[test]
fn a_key_without_uses_left_spends_nothing_of_its_limit() {
    let mut service = Service::structured();
    let limit = per(2, Millis::from_hours(1));
    let issued = service.issue(&client().rate_limit(limit).uses(1).unwrap());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    let mut record = issued.record;
    backed.put(&record);
    assert!(backed.allows(text, at(0)));
    for _ in 0..5 {
        assert_eq!(backed.refuses(text, at(0)), Some(Cause::UsesSpent));
    }
    record.remaining_uses = Some(5);
    record.version += 1;
    backed.change(&record);
    assert!(backed.allows(text, at(0)));
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::RateLimit));
}

#[test]
fn a_limit_stays_spent_when_uses_are_counted_no_more() {
    for capacity in [1, 8] {
        let mut service = Service::structured();
        let limit = per(2, Millis::from_hours(1));
        let issued = service.issue(&client().rate_limit(limit).uses(9).unwrap());
        let other = service.issue(&client());
        let text = [issued.key.expose().to_owned()];
        let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(capacity));
        backed.put(&issued.record);
        backed.put(&other.record);
        assert_eq!(exhaust(&backed, &text, 0), 2);
        assert!(
            backed.allows(other.key.expose(), at(0)),
            "evicts it, if there is no room"
        );
        let mut record = issued.record;
        record.remaining_uses = None;
        record.version += 1;
        backed.change(&record);
        assert_eq!(exhaust(&backed, &text, 0), 0, "{capacity}");
        assert_eq!(exhaust(&backed, &text, HOUR), 2);
    }
}
