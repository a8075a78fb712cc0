//! Attacks on caches, row G: what is cached, for how long, and for which key. Each test
//! answers a flaw that was found elsewhere and has its number. G1, G2, G3, G6 and G8 are
//! in `attacks/invalidation.rs`, G9 in `keyring_flood.rs`.
use core::panic::{RefUnwindSafe, UnwindSafe};
use std::collections::HashMap;

use crate::common::forged::{check_of, with_check, with_wrong_secret};
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{
    Cause, Check, Decision, Denial, Environment, KeyFormat, Keyring, Millis, Request, Requirement,
    Status, Ticket, Verifier, revoke,
};

const SECOND: u64 = 1_000;
const TTL: u64 = 300 * SECOND;

#[test]
fn g4_litellm_959_no_answer_from_the_store_is_no_allow() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(text, at(0)));
    // An invalidation cannot fail. Without a store, old data decides nothing.
    backed.keyring.invalidate(&issued.record.id);
    for _ in 0..10 {
        assert_eq!(backed.cached(text, at(1)), None);
    }
    let unreachable = Denial::new(Cause::StoreUnavailable);
    assert_eq!(backed.keyring.respond(&unreachable, None).status, 503);
    assert!(backed.allows(text, at(1)));
}

#[test]
fn g5_biocache_374_no_record_is_cached_for_ever_nor_over_a_restart() {
    let mut service = Service::structured();
    let longest = Keyring::builder(service.verifier.clone()).ttl(Millis::from_days(1));
    assert!(longest.ttl(Millis::new(86_400_001)).build().is_err());
    let issued = service.issue(&client().never_expires());
    let text = issued.key.expose();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.ttl(Millis::from_days(1)));
    backed.put(&issued.record);
    assert!(backed.allows(text, at(0)));
    backed.put(&revoke(&issued.record, "", at(0)).unwrap().record);
    assert!(backed.allows(text, at(86_399_999)));
    assert_eq!(backed.refuses(text, at(86_400_000)), Some(Cause::Revoked));

    let restarted = KeyringWithStore::new(&service);
    restarted.put(&backed.record(&issued.record.id));
    assert_eq!(restarted.refuses(text, at(0)), Some(Cause::Revoked));
}

#[test]
fn g7_drf_simple_apikey_a_refusal_is_remembered_for_less_time_than_a_record() {
    let mut service = Service::structured();
    let longer = |builder: keystile::KeyringBuilder| {
        let ttl = Millis::from_secs(60);
        builder.ttl(ttl).absent_ttl(Millis::from_secs(61)).build()
    };
    assert!(longer(Keyring::builder(service.verifier.clone())).is_err());
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    assert!(!backed.allows(text, at(0)));
    backed.put(&issued.record);
    // The keyring was not notified of the issue; refusals meanwhile prolong nothing.
    for now in [1, 5_000, 9_999] {
        assert!(!backed.allows(text, at(now)));
    }
    assert!(backed.allows(text, at(10_000)));
}

#[test]
fn g10_exporter_toolkit_no_other_text_is_taken_for_a_cached_one() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(text, at(0)));
    let mut bytes = text.as_bytes().to_vec();
    let mut refused = 0;
    for place in 0..bytes.len() {
        let own = bytes[place];
        for other in (0..=255).filter(|other| *other != own) {
            bytes[place] = other;
            let check = backed.keyring.check(&bytes, &Request::new(), at(0));
            assert!(
                !matches!(check, Check::Decided(Decision::Allow(_), _)),
                "{place} {other}"
            );
            refused += 1;
            // The same with a right check.
            if let Ok(covered) = core::str::from_utf8(&bytes[..bytes.len() - 6])
                && bytes.is_ascii()
            {
                let right = with_check(covered);
                assert!(
                    right == text || !backed.allows(&right, at(0)),
                    "{place} {other}"
                );
            }
        }
        bytes[place] = own;
    }
    assert_eq!(refused, text.len() * 255);
    assert!(backed.allows(text, at(0)));
    for cut in 0..text.len() {
        assert!(!backed.allows(&text[..cut], at(0)));
        assert!(!backed.allows(&text[cut + 1..], at(0)));
    }
}

#[test]
fn g10_two_heads_with_one_check_are_two_keys() {
    // Environments after which the CRC-32 is in the same state: the same secret and check
    // are valid after either, and only the head distinguishes the keys.
    let (one, two) = colliding_environments();
    let mut service = Service::structured();
    let issued = service.issue(&client().environment(one.as_str()).unwrap());
    let text = issued.key.expose();
    let twin = text.replacen(&one, &two, 1);
    assert!(twin != text && service.verifier.parse(twin.as_bytes()).is_ok());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    for _ in 0..2 {
        assert_eq!(backed.refuses(&twin, at(0)), Some(Cause::WrongSecret));
        assert!(backed.allows(text, at(0)), "refused for its twin");
        assert!(backed.cached(text, at(0)).is_some());
    }
}

fn colliding_environments() -> (String, String) {
    let mut rng = crate::common::test_rng::TestRng::seeded(10);
    let mut seen = HashMap::new();
    loop {
        let name: String = (0..12)
            .map(|_| char::from(b'a' + rng.below(26) as u8))
            .collect();
        let state = check_of(format!("acme_{name}_").as_bytes());
        if let Some(earlier) = seen.insert(state, name.clone()) {
            return (earlier, name);
        }
    }
}

#[test]
fn g11_oathkeeper_33496_one_cached_record_is_judged_by_each_request_anew() {
    let mut service = Service::structured();
    let request = client()
        .endpoints(["GET /api/data/*"])
        .and_then(|request| request.networks(["192.0.2.0/24"]))
        .and_then(|request| request.expires_in(Millis::new(TTL / 2)))
        .unwrap();
    let issued = service.issue(&request);
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let (read, write) = ["read", "write"]
        .map(|text| Requirement::parse(text).unwrap())
        .into();
    let (live, test) = ["live", "test"]
        .map(|name| Environment::new(name).unwrap())
        .into();
    let home: core::net::IpAddr = "192.0.2.7".parse().unwrap();
    let good = Request::new()
        .requires(&read)
        .endpoint("GET", "/api/data/1")
        .environment(&live)
        .address(home);
    let cases = [
        (good, 0, None),
        (good.requires(&write), 0, Some(Cause::Permission)),
        (
            good.endpoint("POST", "/api/data/1"),
            0,
            Some(Cause::Endpoint),
        ),
        (
            good.endpoint("GET", "/api/database"),
            0,
            Some(Cause::Endpoint),
        ),
        (
            good.endpoint("GET", "/api/data/../x"),
            0,
            Some(Cause::PathNotCanonical),
        ),
        (good.environment(&test), 0, Some(Cause::Environment)),
        (
            good.address("192.0.3.7".parse::<core::net::IpAddr>().unwrap()),
            0,
            Some(Cause::Network),
        ),
        (Request::new(), 0, Some(Cause::Network)),
        (good, TTL / 2 - 1, None),
    ];
    // Each request after each other one.
    for (first, now, expected) in &cases {
        for (second, later, expected_later) in cases.iter().filter(|case| case.1 >= *now) {
            let cause = |request, now: &u64| {
                let decision = backed.ask(text, request, at(*now));
                decision.denial().map(Denial::cause)
            };
            assert_eq!(cause(first, now), *expected);
            assert_eq!(cause(second, later), *expected_later);
        }
    }
    assert_eq!(backed.fetches(), 1, "all by one record");
    let decision = backed.ask(text, &good, at(TTL / 2));
    assert_eq!(decision.denial().map(Denial::cause), Some(Cause::Expired));
}

#[test]
fn g12_nostr_0224_nothing_is_cached_before_the_secret_is_proved() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let wrong = with_wrong_secret(text);
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert_eq!(backed.refuses(&wrong, at(0)), Some(Cause::WrongSecret));
    assert_eq!(backed.keyring.stats().entries, 0);
    assert!(backed.allows(text, at(0)));
    // A wrong secret whose fetch was in progress replaces no entry.
    backed.keyring.invalidate(&issued.record.id);
    let request = Request::new();
    let Check::NeedsRecord(ticket) = backed.keyring.check(wrong.as_bytes(), &request, at(0)) else {
        panic!("decided without a record");
    };
    assert!(backed.allows(text, at(0)));
    let check = backed.admit(ticket, Some(&issued.record), at(0));
    assert!(matches!(check, Check::Decided(Decision::Deny(_), _)));
    assert!(backed.cached(text, at(0)).unwrap().is_allow());
    // The record of another key proves nothing either.
    let other = service.issue(&client());
    backed.keyring.invalidate(&issued.record.id);
    let Check::NeedsRecord(ticket) = backed.keyring.check(text.as_bytes(), &request, at(0)) else {
        panic!("decided without a record");
    };
    let check = backed.admit(ticket, Some(&other.record), at(0));
    let Check::Decided(decision, _) = check else {
        panic!("asked again");
    };
    assert_eq!(
        decision.denial().map(Denial::cause),
        Some(Cause::UnknownKey)
    );
    assert_eq!(backed.cached(other.key.expose(), at(0)), None);
}

#[test]
fn g13_gitea_27775_each_key_is_judged_by_its_own_permissions() {
    let mut service = Service::structured();
    let backed = KeyringWithStore::new(&service);
    let names: Vec<_> = (0..20).map(|n| format!("resource{n}:read")).collect();
    let keys: Vec<_> = names
        .iter()
        .map(|name| {
            let request = client().permissions([name]).unwrap();
            let issued = service.issue(&request);
            backed.put(&issued.record);
            issued
        })
        .collect();
    for turn in 0..3 {
        for (own, key) in keys.iter().enumerate() {
            for (asked, name) in names.iter().enumerate() {
                let requirement = Requirement::parse(name).unwrap();
                let request = Request::new().requires(&requirement);
                let decision = backed.ask(key.key.expose(), &request, at(turn));
                assert_eq!(decision.is_allow(), own == asked);
            }
        }
    }
    assert_eq!(backed.fetches(), 20);
}

#[test]
fn g14_lru_0130_a_keyring_may_cross_threads() {
    const fn crosses<T: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
    crosses::<Keyring>();
    crosses::<Ticket<'static>>();
    crosses::<Check<'static>>();
    // Also for two formats at once, whose keys are kept apart.
    let structured = KeyFormat::structured("acme").unwrap();
    let opaque = KeyFormat::opaque("dt").unwrap();
    let mut services = [Service::structured(), Service::opaque()];
    services[1].rng = crate::common::test_rng::TestRng::seeded(1);
    let mut both = Service::structured();
    both.verifier = Verifier::new(structured).with_format(opaque);
    let backed = KeyringWithStore::new(&both);
    let keys = services.each_mut().map(|service| service.issue(&client()));
    keys.iter().for_each(|key| backed.put(&key.record));
    for now in 0..3 {
        for key in &keys {
            assert!(backed.allows(key.key.expose(), at(now)));
        }
    }
    assert_eq!(backed.fetches(), 2);
    let revoked = revoke(&keys[1].record, "", at(3)).unwrap().record;
    assert!(matches!(revoked.status, Status::Revoked { .. }));
    backed.change(&revoked);
    assert!(backed.allows(keys[0].key.expose(), at(4)));
    assert_eq!(
        backed.refuses(keys[1].key.expose(), at(4)),
        Some(Cause::Revoked)
    );
}
