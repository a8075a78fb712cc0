//! Attacks on limits, row I. Each test answers a flaw that was found elsewhere and has
//! its number.

use crate::common::service::{Service, at, before, client};
use keystile::{
    CredentialExtractor, CredentialSources, Decision, Denial, DenialCode, ErrorKind, Millis,
    RateLimit, RateState, Request, Requirement, StatusPolicy, Usage, allowed_headers, respond,
    revoke, suspend,
};

const HOUR: u64 = 3_600_000;

#[test]
fn i1_limits_14_a_limit_needs_nobody_to_expire_it() {
    // A single number that shows when it is over: if it is left as it is, it is as good
    // as unused.
    let limit = RateLimit::new(10, Millis::from_secs(60)).unwrap();
    let mut state = RateState::default();
    while let Ok(next) = limit.admit(state, at(0)) {
        state = next;
    }
    assert_eq!(limit.quota(state, at(0)).remaining(), 0);
    let later = at(60_000);
    assert_eq!(limit.quota(state, later).remaining(), 10);
    assert_eq!(
        limit.admit(state, later),
        limit.admit(RateState::default(), later)
    );
}

#[test]
fn i3_better_auth_6713_a_use_is_spent_only_by_a_key_that_may() {
    let mut service = Service::structured();
    let issued = service.issue(&client().uses(3).unwrap());
    let revoked = revoke(&issued.record, "", at(0)).unwrap().record;
    let suspended = suspend(&issued.record, at(0)).unwrap().record;
    let write = Requirement::parse("write").unwrap();
    let mut usage = Usage::of(&issued.record);
    let key = issued.key.expose().as_bytes();
    let refused = [
        (&revoked, Request::new()),
        (&suspended, Request::new()),
        (&issued.record, Request::new().requires(&write)),
        (&issued.record, Request::new().endpoint("GET", "/../x")),
    ];
    for (record, request) in refused {
        assert!(
            !service
                .ask(key, Some(record), &request, &mut usage, at(1))
                .is_allow()
        );
        assert_eq!(usage.remaining, Some(3));
    }
}

#[test]
fn i4_better_auth_2482_the_limiter_is_part_of_the_decision_on_every_way() {
    let limit = RateLimit::new(1, Millis::from_hours(1)).unwrap();
    for (name, mut service) in Service::all() {
        let issued = service.issue(&client().rate_limit(limit));
        let key = issued.key.expose();
        let bearer = format!("Bearer {key}");
        let mut usage = Usage::of(&issued.record);
        let ways = [
            ("x-api-key", key),
            ("authorization", bearer.as_str()),
            ("x-api-key", key),
        ];
        let answers = ways.map(|(header, value)| {
            let headers = [(header.as_bytes(), value.as_bytes())];
            let credential = CredentialExtractor::any_text(CredentialSources::new())
                .extract(headers)
                .unwrap();
            let (record, bytes) = (Some(&issued.record), credential.as_bytes());
            let decision = service.ask(bytes, record, &Request::new(), &mut usage, at(1));
            decision.denial().map(Denial::code)
        });
        let limited = Some(DenialCode::RateLimited);
        assert_eq!(answers, [None, limited, limited], "{name}");
    }
}

#[test]
fn i5_better_auth_4023_a_request_is_counted_once() {
    let limit = RateLimit::new(10, Millis::from_hours(1)).unwrap();
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(limit).uses(10).unwrap());
    let mut usage = Usage::of(&issued.record);
    let key = issued.key.expose().as_bytes();
    for left in (0..10).rev() {
        let decision = service.ask(
            key,
            Some(&issued.record),
            &Request::new(),
            &mut usage,
            at(1),
        );
        let Decision::Allow(allowed) = decision else {
            panic!("refused with {left} left")
        };
        assert_eq!(allowed.quota.unwrap().remaining(), left);
        assert_eq!(allowed.remaining_uses, Some(u64::from(left)));
    }
}

#[test]
fn i7_two_bursts_do_not_meet_at_the_edge_of_a_window() {
    let limit = RateLimit::new(10, Millis::from_secs(1)).unwrap();
    // Wherever the burst falls within a second, each further request must wait 100 ms.
    for offset in 0..1_000 {
        let mut state = RateState::default();
        let mut passed = 0;
        for now in [offset, offset, offset + 1, offset + 99] {
            for _ in 0..10 {
                if let Ok(next) = limit.admit(state, at(now)) {
                    state = next;
                    passed += 1;
                }
            }
        }
        assert_eq!(passed, 10, "at {offset} ms");
        assert!(limit.admit(state, at(offset + 100)).is_ok());
    }
}

#[test]
fn i8_unkey_2948_zero_is_none_and_not_without_limit() {
    let none = RateLimit::new(0, Millis::from_hours(1)).unwrap();
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(none));
    for now in [at(0), at(HOUR), at(1_000 * HOUR)] {
        let mut usage = Usage::of(&issued.record);
        let key = issued.key.expose().as_bytes();
        let decision = service.ask(key, Some(&issued.record), &Request::new(), &mut usage, now);
        assert_eq!(
            decision.denial().map(Denial::code),
            Some(DenialCode::RateLimited)
        );
    }
    assert_eq!(client().uses(0).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(
        client().uses(u64::MAX).unwrap_err().kind(),
        ErrorKind::Limit
    );
    let mut spent = Usage::new(RateState::default(), Some(0));
    let key = issued.key.expose().as_bytes();
    let mut unlimited = issued.record;
    unlimited.rate_limit = None;
    let decision = service.ask(key, Some(&unlimited), &Request::new(), &mut spent, at(1));
    assert_eq!(
        decision.denial().map(Denial::code),
        Some(DenialCode::UsesSpent)
    );
    assert_eq!(spent.remaining, Some(0), "it does not wrap");
}

#[test]
fn i10_cve_2026_29794_an_address_in_another_spelling_is_the_same_address() {
    use core::net::IpAddr;
    use keystile::Networks;

    let office = Networks::new(["192.0.2.0/24", "2001:db8:1::/48"]).unwrap();
    let inside = [
        "192.0.2.1",
        "::ffff:192.0.2.1",
        "::ffff:c000:201",
        "2001:db8:1::1",
        "2001:0db8:0001::1",
    ];
    let outside = [
        "192.0.3.1",
        "::ffff:192.0.3.1",
        "::192.0.2.1",
        "2001:db8:2::1",
        "64:ff9b::c000:201",
        "::1",
    ];
    for address in inside {
        assert!(
            office.contains(address.parse::<IpAddr>().unwrap()),
            "{address}"
        );
    }
    for address in outside {
        assert!(
            !office.contains(address.parse::<IpAddr>().unwrap()),
            "{address}"
        );
    }
    let illegal = [
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2",
        "0300.0.2.1",
        "192.0.2.01",
        "::ffff:0:0/95",
        "2001:db8::1/32",
        "localhost",
        "",
        "*",
        "192.0.2.0/24 ",
        "::1%eth0",
    ];
    for text in illegal {
        assert_eq!(
            Networks::new([text]).unwrap_err().kind(),
            ErrorKind::Network,
            "{text:?}"
        );
    }
    // The socket reports the peer, never a header: without an address a restricted key is
    // refused.
    let mut service = Service::structured();
    let issued = service.issue(&client().networks(["192.0.2.0/24"]).unwrap());
    let unknown = service.ask_once(issued.key.expose(), &issued.record, &Request::new());
    assert_eq!(
        unknown.denial().map(Denial::code),
        Some(DenialCode::NetworkNotAllowed)
    );
}

#[test]
fn i11_nobody_spends_the_limit_of_a_key_that_they_do_not_hold() {
    let limit = RateLimit::new(2, Millis::from_hours(1)).unwrap();
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(limit).uses(2).unwrap());
    let mut impostor = issued.record.clone();
    impostor.digest = keystile::Digest::sha256(b"another secret under the same id");
    let mut usage = Usage::of(&issued.record);
    let key = issued.key.expose().as_bytes();
    for _ in 0..100 {
        let refused = service.ask(key, Some(&impostor), &Request::new(), &mut usage, at(1));
        assert_eq!(
            refused.denial().map(Denial::code),
            Some(DenialCode::InvalidKey)
        );
    }
    assert!(
        service
            .ask(
                key,
                Some(&issued.record),
                &Request::new(),
                &mut usage,
                at(1)
            )
            .is_allow()
    );
}

#[test]
fn i12_cve_2026_50139_what_may_be_used_once_is_used_once() {
    for uses in 1..20u64 {
        let mut service = Service::structured();
        let issued = service.issue(&client().uses(uses).unwrap());
        let mut usage = Usage::of(&issued.record);
        let key = issued.key.expose().as_bytes();
        let allowed = (0..64)
            .filter(|now| {
                let (record, ask) = (Some(&issued.record), Request::new());
                service
                    .ask(key, record, &ask, &mut usage, at(*now))
                    .is_allow()
            })
            .count();
        assert_eq!(allowed as u64, uses);
    }
}

#[test]
fn i14_rate_limiter_flexible_173_no_number_in_a_header_is_below_zero() {
    let limit = RateLimit::with_burst(3, Millis::new(1_500), 2).unwrap();
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(limit));
    let mut usage = Usage::of(&issued.record);
    let key = issued.key.expose().as_bytes();
    let mut seen = Vec::new();
    // Also if the clock has been set back since.
    for now in [at(0), at(0), at(0), at(1), before(HOUR)] {
        let decision = service.ask(key, Some(&issued.record), &Request::new(), &mut usage, now);
        let headers = match decision {
            Decision::Allow(allowed) => allowed_headers(&allowed, now),
            Decision::Deny(denial) => respond(&denial, StatusPolicy::Rfc9110, None).headers,
        };
        for (name, value) in headers {
            if matches!(
                name,
                "ratelimit-limit" | "ratelimit-remaining" | "ratelimit-reset" | "retry-after"
            ) {
                let number: u64 = value.parse().unwrap();
                assert!(number <= 2 * HOUR / 1_000, "{name}: {value}");
                seen.push((name, number));
            }
        }
    }
    let remaining: Vec<u64> = seen
        .iter()
        .filter(|(name, _)| *name == "ratelimit-remaining")
        .map(|(_, n)| *n)
        .collect();
    assert_eq!(remaining, [1, 0, 0, 0, 0]);
    assert!(
        seen.iter()
            .any(|(name, n)| *name == "retry-after" && *n == 1)
    );
}
