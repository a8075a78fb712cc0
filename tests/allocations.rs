//! No decision makes a heap allocation, which a counting allocator shows.

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

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

use crate::common::service::{Service, at, client};
use keystile::{
    Cause, CredentialExtractor, CredentialSources, Decision, Denial, Environment, Issued,
    KeyRecord, Millis, RateLimit, Request, Requirement, StatusPolicy, Usage, respond, revoke,
    suspend,
};

/// The system's allocator, with a count of the requests of each thread.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: each call is passed on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: everything that this allocator returned came from the system's.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: as for `dealloc`; the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many times `work` allocates on this thread, and its result.
fn asked_by<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ASKED.get();
    let result = work();
    (ASKED.get() - before, result)
}

#[test]
fn the_counter_counts() {
    assert_eq!(asked_by(|| Vec::<u8>::with_capacity(1)).0, 1);
    assert_eq!(asked_by(|| vec![1, 2].push(3)).0, 2);
    assert_eq!(asked_by(|| 1 + 1).0, 0);
    let mut service = Service::structured();
    assert!(asked_by(|| service.issue(&client())).0 > 3);
    let denial = Denial::new(Cause::Expired);
    assert!(asked_by(|| respond(&denial, StatusPolicy::Rfc9110, None)).0 > 3);
}

/// A key that is restricted in every possible way.
fn restricted(service: &mut Service) -> Issued {
    let request = client()
        .permissions(["read", "invoices:*"])
        .and_then(|request| request.endpoints(["GET,HEAD /api/data/*", "/api/*/status"]))
        .and_then(|request| request.uses(1_000))
        .unwrap()
        .rate_limit(RateLimit::new(2, Millis::from_hours(1)).unwrap());
    let request = request.networks(["192.0.2.0/24", "2001:db8::/32"]).unwrap();
    service.issue(&request)
}

/// From the header to the decision, given the record.
fn decision(
    service: &Service,
    rules: &CredentialExtractor,
    header: &[u8],
    record: Option<&KeyRecord>,
    request: &Request<'_>,
    usage: &mut Usage,
) -> Result<(), Cause> {
    let credential = rules.extract([(&b"authorization"[..], header)]);
    let decision = match &credential {
        Ok(credential) => service.ask(credential.as_bytes(), record, request, usage, at(1)),
        Err(denial) => Decision::Deny(*denial),
    };
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(denial) => Err(denial.cause()),
    }
}

/// A header, a record, a request and usage, and the outcome.
type Case<'c> = (
    &'c [u8],
    Option<&'c KeyRecord>,
    Request<'c>,
    Usage,
    Result<(), Cause>,
);

#[test]
fn no_decision_allocates() {
    for (name, mut service) in Service::all() {
        let issued = restricted(&mut service);
        let other = restricted(&mut service).key;
        let record = &issued.record;
        let bearer = |key: &str| format!("Bearer {key}").into_bytes();
        let own = bearer(issued.key.expose());
        let mut mistyped = own.clone();
        *mistyped.last_mut().unwrap() ^= 3;

        let asks = "invoices:read AND (admin OR read) AND (invoices:write OR x OR y)";
        let (met, unmet) = (
            Requirement::parse(asks),
            Requirement::parse("read AND (a OR b:c)"),
        );
        let (met, unmet) = (met.unwrap(), unmet.unwrap());
        let (live, test) = (
            Environment::new("live").unwrap(),
            Environment::new("test").unwrap(),
        );
        let full = Request::new()
            .requires(&met)
            .endpoint("GET", "/api/data/caf%C3%A9/x")
            .environment(&live);
        let full = full.address("192.0.2.7".parse::<core::net::IpAddr>().unwrap());

        let revoked = revoke(record, "leaked", at(0)).unwrap().record;
        let suspended = suspend(record, at(0)).unwrap().record;
        let (mut expired, mut replaced, mut peppered) =
            (record.clone(), record.clone(), record.clone());
        expired.expires_at = Some(at(1));
        replaced.replaced_by = Some(record.id);
        replaced.overlap_until = Some(at(1));
        peppered.digest = keystile::Digest::new(
            keystile::DigestKind::HmacSha256 { pepper: 9 },
            *record.digest.bytes(),
        );
        let fresh = Usage::of(record);
        let limit = record.rate_limit.unwrap();
        let once = limit.admit(fresh.rate, at(1)).unwrap();
        let limited = Usage::new(limit.admit(once, at(1)).unwrap(), Some(1));
        let spent = Usage::new(fresh.rate, Some(0));
        let (some, none) = (Some(record), None);

        let mut cases: Vec<Case<'_>> = vec![
            (&own, some, full, fresh, Ok(())),
            (b"Bearer ", some, full, fresh, Err(Cause::MissingCredential)),
            (b"Bearer caf\xC3\xA9", some, full, fresh, Err(Cause::Alien)),
            (b"Bearer short", some, full, fresh, Err(Cause::Alien)),
            (&own, none, full, fresh, Err(Cause::UnknownKey)),
            (
                &own,
                Some(&peppered),
                full,
                fresh,
                Err(Cause::PepperUnavailable),
            ),
            (&own, Some(&revoked), full, fresh, Err(Cause::Revoked)),
            (&own, Some(&suspended), full, fresh, Err(Cause::Suspended)),
            (&own, Some(&expired), full, fresh, Err(Cause::Expired)),
            (&own, Some(&replaced), full, fresh, Err(Cause::Replaced)),
            (
                &own,
                some,
                full.environment(&test),
                fresh,
                Err(Cause::Environment),
            ),
            (
                &own,
                some,
                full.endpoint("GET", "/a/../b"),
                fresh,
                Err(Cause::PathNotCanonical),
            ),
            (
                &own,
                some,
                full.endpoint("PUT", "/api/data/x"),
                fresh,
                Err(Cause::Endpoint),
            ),
            (
                &own,
                some,
                full.requires(&unmet),
                fresh,
                Err(Cause::Permission),
            ),
            (&own, some, full, limited, Err(Cause::RateLimit)),
            (&own, some, full, spent, Err(Cause::UsesSpent)),
        ];
        let away = full.address("198.51.100.1".parse::<core::net::IpAddr>().unwrap());
        cases.push((&own, some, away, fresh, Err(Cause::Network)));
        let wrong = bearer(other.expose());
        let mut of_other = record.clone();
        of_other.id = service
            .verifier
            .parse(other.expose().as_bytes())
            .unwrap()
            .claimed_id()
            .copied()
            .unwrap_or(of_other.id);
        cases.push((
            &wrong,
            Some(&of_other),
            full,
            fresh,
            Err(Cause::WrongSecret),
        ));
        if service.format.is_structured() {
            cases.push((&mistyped, some, full, fresh, Err(Cause::Malformed)));
        }

        let rules = CredentialExtractor::new(CredentialSources::new(), &service.verifier);
        for (header, record, request, usage, expected) in cases {
            let mut usage = usage;
            let work = || decision(&service, &rules, header, record, &request, &mut usage);
            let (asked, outcome) = asked_by(work);
            assert_eq!(outcome, expected, "{name}");
            assert_eq!(asked, 0, "{name}: {expected:?}");
        }
    }
}

#[test]
fn reading_a_decision_does_not_allocate() {
    let mut service = Service::opaque();
    service.verifier = service.verifier.with_peppers(common::service::ring());
    let issued = restricted(&mut service);
    let unmet = Requirement::parse("read AND (a OR b:c) AND a").unwrap();
    let request = Request::new()
        .requires(&unmet)
        .endpoint("GET", "/api/data/x");
    let request = request.address("192.0.2.7".parse::<core::net::IpAddr>().unwrap());
    let decision = service.ask_once(issued.key.expose(), &issued.record, &request);
    let Decision::Deny(denial) = decision else {
        panic!("allowed")
    };
    let (asked, missing) = asked_by(|| denial.missing(&unmet).map(str::len).sum::<usize>());
    assert_eq!((asked, missing), (0, 4));

    let limit = issued.record.rate_limit.unwrap();
    let quota = limit.quota(keystile::RateState::default(), at(1));
    let (asked, remaining) = asked_by(|| (quota.remaining(), quota.reset(), quota.retry_after()));
    assert_eq!((asked, remaining.0), (0, 2));

    let (asked, digests) = asked_by(|| {
        let key = service
            .verifier
            .parse(issued.key.expose().as_bytes())
            .unwrap();
        match service.verifier.lookup(&key) {
            keystile::Lookup::Digests(digests) => digests.iter().count(),
            _ => 0,
        }
    });
    assert_eq!((asked, digests), (0, 3));
}

/// B6, RUSTSEC-2026-0229: a value that is decoded before its length is checked.
#[test]
fn b6_rustsec_2026_0229_a_header_of_16_mebibytes_costs_no_memory() {
    let service = Service::structured();
    let long = [b"Bearer ".to_vec(), vec![b'k'; 16 << 20]].concat();
    let rules = CredentialExtractor::any_text(CredentialSources::new());
    for (name, expected) in [
        (&b"authorization"[..], Cause::Alien),
        (b"x-api-key", Cause::Malformed),
    ] {
        let (asked, cause) = asked_by(|| {
            let read = rules.extract([(name, &long[..])]);
            read.map(|_| ()).map_err(|denial| denial.cause())
        });
        assert_eq!((asked, cause), (0, Err(expected)));
    }
    let (asked, refused) = asked_by(|| service.verifier.parse(&long).is_err());
    assert_eq!((asked, refused), (0, true));
}
