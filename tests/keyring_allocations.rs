//! No decision of the keyring makes a heap allocation, and neither does asking for a
//! record, which a counting allocator shows.
#![cfg(feature = "keyring")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "an allocator is unsafe by its nature, and a test fails where the product must not"
)]

#[path = "common/common.rs"]
mod common;
#[path = "common/counting.rs"]
mod counting;

use std::collections::BTreeSet;

use crate::common::forged::with_wrong_secret;
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use counting::asked_by;
use keystile::{
    Cause, Check, Decision, Denial, Environment, IssueRequest, Millis, PepperRing, RateLimit,
    Request, Requirement, RotationPolicy, revoke, rotate, suspend,
};

/// The outcome of a check, by name.
fn name<T>(check: &Check<'_, T>) -> String {
    match check {
        Check::Decided(Decision::Allow(_), _) => "allow".to_owned(),
        Check::Decided(Decision::Deny(denial), _) => format!("{:?}", denial.cause()),
        Check::NeedsRecord(_) => "needs a record".to_owned(),
        Check::NeedsTokens(_) => "needs tokens".to_owned(),
    }
}

/// A key that is restricted in every possible way.
fn restricted(limit: u32) -> IssueRequest {
    let request = client()
        .permissions(["read", "invoices:*", "org:*:audit"])
        .and_then(|request| request.endpoints(["GET,HEAD /api/data/*", "/api/*/status"]))
        .and_then(|request| request.networks(["192.0.2.0/24", "2001:db8::/32"]))
        .and_then(|request| request.owner("tenant 7"))
        .and_then(|request| request.expires_in(Millis::from_hours(1)))
        .unwrap();
    request.rate_limit(RateLimit::new(limit, Millis::from_hours(1)).unwrap())
}

#[test]
fn the_counter_counts() {
    assert_eq!(asked_by(|| Vec::<u8>::with_capacity(1)).0, 1);
    assert_eq!(asked_by(|| 1 + 1).0, 0);
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    // The control: caching a record allocates.
    assert!(asked_by(|| backed.allows(issued.key.expose(), at(0))).0 > 0);
}

#[test]
fn no_decision_and_no_request_for_a_record_allocates() {
    for (kind, mut service) in Service::all() {
        let backed = KeyringWithStore::new(&service);
        let mut key = |request: &IssueRequest| {
            let issued = service.issue(request);
            backed.put(&issued.record);
            issued
        };
        let good = key(&restricted(1_000_000));
        let striped = key(&restricted(1_000_000).uses(1_000_000).unwrap());
        let limited = key(&client().rate_limit(RateLimit::new(1, Millis::from_hours(1)).unwrap()));
        let counted = key(&client().uses(1).unwrap());
        let short = key(&client().expires_in(Millis::new(5)).unwrap());
        let ended = [key(&client()), key(&client()), key(&client())];
        let unknown = service.issue(&client());
        let unfetched = service.issue(&client());
        let [revoked, suspended, replaced] = ended.each_ref().map(|issued| &issued.record);
        backed.put(&revoke(revoked, "", at(0)).unwrap().record);
        backed.put(&suspend(suspended, at(0)).unwrap().record);
        let policy = RotationPolicy::default()
            .with_overlap(Millis::ZERO)
            .unwrap();
        let (format, none) = (service.format.clone(), PepperRing::none());
        let rng = &mut service.rng;
        let rotated = rotate(replaced, &[], &policy, &format, &none, rng, at(0)).unwrap();
        backed.put(&rotated.changed[0]);

        let (read, pay) = (
            "read AND (x OR invoices:eu:read)",
            "read AND (x OR payroll:pay)",
        );
        let [read, pay] = [read, pay].map(|text| Requirement::parse(text).unwrap());
        let [live, test] = ["live", "test"].map(|name| Environment::new(name).unwrap());
        let full = Request::new()
            .requires(&read)
            .endpoint("GET", "/api/data/2026/07")
            .environment(&live)
            .address("2001:db8::7".parse::<core::net::IpAddr>().unwrap());
        let plain = Request::new();
        let wrong = if service.format.is_structured() && kind != "keyed" {
            with_wrong_secret(good.key.expose())
        } else {
            good.key.expose().to_owned()
        };
        let mistyped = format!("{}!", &good.key.expose()[1..]);
        let cases = [
            (good.key.expose(), full),
            (striped.key.expose(), full),
            (good.key.expose(), full.requires(&pay)),
            (
                good.key.expose(),
                full.endpoint("POST", "/api/data/2026/07"),
            ),
            (good.key.expose(), full.endpoint("GET", "/api/data//x")),
            (good.key.expose(), full.environment(&test)),
            (
                good.key.expose(),
                full.address("192.0.3.1".parse::<core::net::IpAddr>().unwrap()),
            ),
            (&wrong, full),
            (&mistyped, full),
            ("", full),
            (limited.key.expose(), plain),
            (counted.key.expose(), plain),
            (short.key.expose(), plain),
            (ended[0].key.expose(), plain),
            (ended[1].key.expose(), plain),
            (ended[2].key.expose(), plain),
            (unknown.key.expose(), plain),
        ];
        // A first round caches what can be cached, and lets the thread set up what it
        // needs once.
        for (text, request) in &cases {
            let _ = backed.ask(text, request, at(1));
        }
        let _ = backed.ask(short.key.expose(), &plain, at(5));
        let mut seen = BTreeSet::new();
        let mut judge = |text: &str, request: &Request<'_>| {
            let (asked, check) = asked_by(|| backed.keyring.check(text.as_bytes(), request, at(6)));
            assert_eq!(asked, 0, "{kind}: {}", name(&check));
            seen.insert(name(&check));
        };
        for _ in 0..100 {
            for (text, request) in &cases {
                judge(text, request);
            }
            judge(unfetched.key.expose(), &plain);
            // The first use after a drain takes another path than the next.
            drop(backed.keyring.drain_uses());
        }
        let mut expected = BTreeSet::from(
            [
                Cause::Permission,
                Cause::Endpoint,
                Cause::PathNotCanonical,
                Cause::Environment,
                Cause::Network,
                Cause::Malformed,
                Cause::RateLimit,
                Cause::UsesSpent,
                Cause::Expired,
                Cause::Revoked,
                Cause::Suspended,
                Cause::Replaced,
                Cause::UnknownKey,
            ]
            .map(|cause| format!("{cause:?}")),
        );
        expected.extend(["allow", "needs a record"].map(str::to_owned));
        if wrong != good.key.expose() {
            expected.insert(format!("{:?}", Cause::WrongSecret));
        }
        assert_eq!(seen, expected, "{kind}");
    }
}

#[test]
fn counting_contended_uses_does_not_allocate_either() {
    let mut service = Service::structured();
    let issued = service.issue(&restricted(4_000_000).uses(4_000_000).unwrap());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let request = Request::new()
        .endpoint("GET", "/api/data/1")
        .address("192.0.2.7".parse::<core::net::IpAddr>().unwrap());
    let text = issued.key.expose();
    // While a record is admitted again, a check may ask for it.
    let admitted = std::sync::Barrier::new(4);
    let asked: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let decision = backed.ask(text, &request, at(1));
                    assert!(decision.denial().map(Denial::cause).is_none());
                    admitted.wait();
                    let check = || backed.keyring.check(text.as_bytes(), &request, at(1));
                    let (asked, allowed) = asked_by(|| {
                        (0..100_000)
                            .filter(|_| matches!(check(), Check::Decided(Decision::Allow(_), _)))
                            .count()
                    });
                    assert_eq!(allowed, 100_000);
                    asked
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(asked, 0);
    assert_eq!(backed.drained(), 4 * 100_001);
}
