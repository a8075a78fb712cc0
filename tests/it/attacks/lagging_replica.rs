//! A replica that lags answers a fetch after a key was changed: the version that was written
//! is remembered, whether or not the key was cached.
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{Cause, Check, Denial, KeyId, KeyRecord, Request, revoke};

const TTL: u64 = 300_000;

/// How a fetch is answered that a check begins now.
fn fetched(
    backed: &KeyringWithStore,
    text: &str,
    record: &KeyRecord,
    now: u64,
) -> Option<Option<Cause>> {
    let check = backed
        .keyring
        .check(text.as_bytes(), &Request::new(), at(now));
    let Check::NeedsRecord(ticket) = check else {
        panic!("it is cached: {check:?}");
    };
    match backed.admit(ticket, Some(record), at(now)) {
        Check::Decided(decision, _) => Some(decision.denial().map(Denial::cause)),
        Check::NeedsRecord(_) | Check::NeedsTokens(_) => None,
    }
}

#[test]
fn g3_a_revoked_key_that_was_not_cached_is_not_admitted_from_a_replica_that_lags() {
    for cached in ["never", "before", "evicted"] {
        let mut service = Service::structured();
        let issued = service.issue(&client());
        let other = service.issue(&client());
        let text = issued.key.expose();
        let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(1));
        backed.put(&issued.record);
        backed.put(&other.record);
        if cached != "never" {
            assert!(backed.allows(text, at(0)));
        }
        if cached == "evicted" {
            for round in 0..4 {
                assert!(backed.allows(other.key.expose(), at(round)));
            }
            assert_eq!(backed.cached(text, at(4)), None, "no room for two");
        }
        let revoked = revoke(&issued.record, "", at(4)).unwrap().record;
        backed
            .keyring
            .invalidate_at(&issued.record.id, revoked.version);
        for now in [4, 5, 1_000, TTL - 1] {
            let found = fetched(&backed, text, &issued.record, now);
            assert_eq!(found, None, "{cached}: asked again at {now} ms");
        }
        let found = fetched(&backed, text, &revoked, TTL - 1);
        assert_eq!(found, Some(Some(Cause::Revoked)), "{cached}");
    }
}

/// The control: without the version the record of the replica is taken.
#[test]
fn without_the_version_the_record_of_a_replica_is_admitted() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let backed = KeyringWithStore::new(&service);
    backed.keyring.invalidate(&issued.record.id);
    let found = fetched(&backed, issued.key.expose(), &issued.record, 0);
    assert_eq!(found, Some(None));
}

#[test]
fn an_event_that_is_read_late_lowers_no_version() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    let revoked = revoke(&issued.record, "", at(0)).unwrap().record;
    for version in [revoked.version, issued.record.version] {
        backed.keyring.invalidate_at(&issued.record.id, version);
    }
    assert_eq!(fetched(&backed, text, &issued.record, 0), None);
    let found = fetched(&backed, text, &revoked, 0);
    assert_eq!(found, Some(Some(Cause::Revoked)));
}

#[test]
fn a_reset_forgets_the_versions_that_were_written() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.keyring.invalidate_at(&issued.record.id, 7);
    assert_eq!(fetched(&backed, text, &issued.record, 0), None);
    backed.keyring.reset();
    // What the backup has, and what is written to it from now on.
    backed.keyring.invalidate_at(&issued.record.id, 2);
    assert_eq!(fetched(&backed, text, &issued.record, 0), None);
    let mut second = issued.record.clone();
    second.version = 2;
    assert_eq!(fetched(&backed, text, &second, 0), Some(None));
}

/// 65,536 are remembered, and what had to be forgotten early is counted.
#[test]
fn the_versions_that_did_not_fit_are_counted() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(text, at(0)), "so that it knows the time");
    backed.keyring.invalidate_at(&issued.record.id, 9);
    let other = |number: usize| -> KeyId { format!("1{number:015}").parse().unwrap() };
    // The same keys again and again take no more room.
    for number in (0..65_535).chain(0..65_535).chain(0..65_535) {
        backed.keyring.invalidate_at(&other(number), 2);
    }
    assert_eq!(backed.keyring.stats().versions_lost, 0);
    assert_eq!(fetched(&backed, text, &issued.record, 1), None);
    backed.keyring.invalidate_at(&other(65_535), 2);
    assert_eq!(backed.keyring.stats().versions_lost, 1);
    let found = fetched(&backed, text, &issued.record, 1);
    assert_eq!(found, Some(None), "the oldest was forgotten");
    // After the TTL nothing is lost with it.
    let mut later = issued.record.clone();
    later.version = 9;
    backed.put(&later);
    assert!(backed.allows(text, at(TTL + 2)));
    backed.keyring.invalidate_at(&other(65_536), 2);
    assert_eq!(backed.keyring.stats().versions_lost, 1);
}
