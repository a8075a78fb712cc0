//! The promises about keys and their rights, P1 to P6 and P10, each by its number.

use crate::common::service::{Service, at, client};
use crate::common::test_rng::TestRng;
use keystile::{
    Cause, Decision, Denial, DenialCode, EndpointRules, Environment, ErrorKind, IssueRequest,
    KeyRecord, Millis, PepperRing, PermissionSet, RateLimit, RateState, Request, Requirement,
    RotationPolicy, ScopeTemplate, Status, StatusPolicy, UnixMillis, Usage, delegate, expire,
    issue, rehash, respond, resume, revoke, rotate, suspend, verify,
};
use proptest::prelude::*;

fn code(decision: &Decision) -> Option<DenialCode> {
    decision.denial().map(Denial::code)
}

#[test]
fn p1_default_deny_what_is_left_out_of_an_issue_grants_nothing() {
    let mut service = Service::structured();
    let issued = service.issue(&IssueRequest::new("Acme Ltd").unwrap());
    let text = issued.key.expose();
    for asked in ["read", "a:b", "x OR y", "a"] {
        let requirement = Requirement::parse(asked).unwrap();
        let request = Request::new().requires(&requirement);
        let decision = service.ask_once(text, &issued.record, &request);
        assert_eq!(code(&decision), Some(DenialCode::PermissionMissing));
    }
    assert!(
        issued.record.expires_at.is_some(),
        "an end, unless one asks for none"
    );
    assert!(PermissionSet::default().is_empty() && !PermissionSet::default().grants("read"));
    assert!(!EndpointRules::default().allows("GET", "/"));
    assert!(!keystile::Networks::default().contains("192.0.2.1".parse().unwrap()));
    // Without a record, no request is allowed.
    let key = service.verifier.parse(text.as_bytes()).unwrap();
    let mut usage = Usage::default();
    let decision = verify(
        &service.verifier,
        &key,
        None,
        &Request::new(),
        &mut usage,
        at(1),
    );
    assert_eq!(code(&decision), Some(DenialCode::InvalidKey));
}

#[test]
fn p1_a_usage_that_was_left_empty_makes_no_counted_key_one_without_end() {
    let mut service = Service::structured();
    let issued = service.issue(&client().uses(2).unwrap());
    let mut usage = Usage::default();
    let mut ask = || {
        let text = issued.key.expose().as_bytes();
        service.ask(
            text,
            Some(&issued.record),
            &Request::new(),
            &mut usage,
            at(1),
        )
    };
    assert!(ask().is_allow() && ask().is_allow());
    assert_eq!(code(&ask()), Some(DenialCode::UsesSpent));
    assert_eq!(usage.remaining, Some(0));
}

#[test]
fn p1_default_deny_each_fact_that_a_restricted_key_needs_is_needed() {
    let mut service = Service::structured();
    let request = client().endpoints(["GET /api/data/*"]).unwrap();
    let request = request.networks(["192.0.2.0/24"]).unwrap();
    let issued = service.issue(&request);
    let (text, record) = (issued.key.expose(), &issued.record);
    let (read, write) = (Requirement::parse("read"), Requirement::parse("write"));
    let (read, write) = (read.unwrap(), write.unwrap());
    let (live, test) = (
        Environment::new("live").unwrap(),
        Environment::new("test").unwrap(),
    );

    let base = Request::new().requires(&read).environment(&live);
    let nowhere = base.endpoint("GET", "/api/data/x");
    let base = base.address("192.0.2.9".parse::<core::net::IpAddr>().unwrap());
    let full = base.endpoint("GET", "/api/data/x");
    assert!(
        service.ask_once(text, record, &full).is_allow(),
        "with all of them it passes"
    );

    let mut others = vec![
        (base, DenialCode::EndpointNotAllowed),
        (
            base.endpoint("POST", "/api/data/x"),
            DenialCode::EndpointNotAllowed,
        ),
        (
            base.endpoint("", "/api/data/x"),
            DenialCode::EndpointNotAllowed,
        ),
        (base.endpoint("GET", "/api"), DenialCode::EndpointNotAllowed),
        (base.endpoint("GET", ""), DenialCode::PathNotCanonical),
        (full.environment(&test), DenialCode::WrongEnvironment),
        (full.requires(&write), DenialCode::PermissionMissing),
    ];
    others.extend([
        (nowhere, DenialCode::NetworkNotAllowed),
        (
            nowhere.address("198.51.100.1".parse::<core::net::IpAddr>().unwrap()),
            DenialCode::NetworkNotAllowed,
        ),
    ]);
    others.drain(..).for_each(|(request, expected)| {
        let decision = service.ask_once(text, record, &request);
        assert_eq!(code(&decision), Some(expected), "{request:?}");
    });
}

#[test]
fn p1_default_deny_no_cause_is_answered_with_a_success() {
    let causes = [
        Cause::MissingCredential,
        Cause::ConflictingCredentials,
        Cause::Malformed,
        Cause::Alien,
        Cause::UnknownKey,
        Cause::WrongSecret,
        Cause::PepperUnavailable,
        Cause::Revoked,
        Cause::Suspended,
        Cause::Expired,
        Cause::Replaced,
        Cause::Environment,
        Cause::Network,
        Cause::PathNotCanonical,
        Cause::Endpoint,
        Cause::Permission,
        Cause::RateLimit,
        Cause::UsesSpent,
        Cause::StoreUnavailable,
        Cause::RecordDamaged,
    ];
    for cause in causes {
        for policy in [StatusPolicy::Rfc9110, StatusPolicy::Express] {
            let response = respond(&Denial::new(cause), policy, None);
            assert!((400..600).contains(&response.status), "{cause:?}");
        }
    }
}

proptest! {
    /// A revoked key stays revoked, whatever is done to it and whenever it is presented.
    #[test]
    fn p2_revocation_is_monotone(
        steps in proptest::collection::vec((0u8..7, 0u64..200), 0..12),
        revoked_before in 0usize..12,
    ) {
        let mut service = Service::structured();
        let issued = service.issue(&client());
        let text = issued.key.expose();
        let mut record = issued.record.clone();
        let mut revoked: Option<Status> = None;
        for (count, (step, days)) in steps.into_iter().enumerate() {
            let now = at(days * 86_400_000);
            if count == revoked_before {
                record = revoke(&record, "leaked", now).unwrap().record;
                revoked = Some(record.status.clone());
            }
            let key = service.verifier.parse(text.as_bytes()).unwrap();
            let changed: Option<KeyRecord> = match step {
                0 => suspend(&record, now).map(|change| change.record).ok(),
                1 => resume(&record, now).map(|change| change.record).ok(),
                2 if revoked.is_some() => revoke(&record, "", now).map(|c| c.record).ok(),
                3 => rehash(&record, &key, &crate::common::service::ring(), now).map(|c| c.record).ok(),
                4 => {
                    let (format, none) = (&service.format, PepperRing::none());
                    let (policy, rng) = (RotationPolicy::default(), &mut service.rng);
                    let rotated = rotate(&record, &[], &policy, format, &none, rng, now);
                    rotated.ok().map(|mut rotated| rotated.changed.remove(0))
                }
                5 => expire(&record, now).err().map(|_| record.clone()),
                _ => None,
            };
            record = changed.unwrap_or(record);
            if let Some(status) = &revoked {
                prop_assert_eq!(&record.status, status, "the first instant and reason stand");
                service.verifier = service.verifier.clone().with_peppers(crate::common::service::ring());
                let mut usage = Usage::of(&record);
                let request = Request::new();
                let bytes = text.as_bytes();
                let decision = service.ask(bytes, Some(&record), &request, &mut usage, now);
                prop_assert_eq!(code(&decision), Some(DenialCode::KeyRevoked));
                prop_assert!(!record.is_live(now) && !record.is_live(UnixMillis::MIN));
            }
        }
    }

    /// The path that is matched is the path that was sent: a path that some parser would
    /// read as another is refused, whatever the rules.
    #[test]
    fn p3_one_path_view(path in "(/([a-c]|[.]{1,2}|%2[eEfF5]|%41|%c3%a9|;v=1|[?#]|\\\\|)){1,5}") {
        let everything = EndpointRules::new(["/*"]).unwrap();
        let views: [fn(&str) -> String; 6] = [
            |path| path.replace("%2e", ".").replace("%2E", "."),
            |path| path.replace("%2f", "/").replace("%2F", "/").replace('\\', "/"),
            |path| path.replace("%25", "%").replace("%41", "A"),
            |path| path.split(['?', '#']).next().unwrap_or_default().to_string(),
            |path| path.split('/').map(|s| s.split(';').next().unwrap()).collect::<Vec<_>>().join("/"),
            |path| {
                let mut kept: Vec<&str> = Vec::new();
                for segment in path.split('/').skip(1) {
                    match segment {
                        "." | "" => {}
                        ".." => drop(kept.pop()),
                        other => kept.push(other),
                    }
                }
                // A trailing slash makes no difference to this parser.
                let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
                format!("/{}{end}", kept.join("/"))
            },
        ];
        let seen_otherwise = views.iter().any(|view| view(&path) != path);
        prop_assert_eq!(everything.allows("GET", &path), !seen_otherwise, "{}", path);
    }
}

#[test]
fn p4_a_derived_or_templated_key_never_has_more_than_its_source() {
    let mut service = Service::structured();
    let blank = || IssueRequest::new("Acme Ltd").unwrap();
    let template = |name| ScopeTemplate::preset(name).unwrap();
    let source = service
        .issue(&blank().template(template("monitoring")))
        .record;
    assert!(source.permissions.grants("read") && !source.permissions.grants("write"));
    let hourly = |limit| RateLimit::new(limit, Millis::from_hours(1)).unwrap();
    let more = [
        blank().permissions(["write"]).unwrap(),
        blank().permissions(["read", "*"]).unwrap(),
        blank().endpoints(["/*"]).unwrap(),
        blank().endpoints(["/api/metrics/*", "/api/*"]).unwrap(),
        blank().rate_limit(hourly(101)),
    ];
    let (format, none) = (service.format.clone(), PepperRing::none());
    let rng = &mut service.rng;
    for asked in more {
        let derived = delegate(&source, &format, &none, &asked, rng, at(1));
        assert_eq!(derived.unwrap_err().kind(), ErrorKind::Exceeds, "{asked:?}");
        let templated = asked.template(template("monitoring"));
        let templated = issue(&format, &none, &templated, rng, at(1));
        assert_eq!(templated.unwrap_err().kind(), ErrorKind::Exceeds);
    }
    // A wider template does not help a narrower source.
    let admin = blank().template(template("admin"));
    let derived = delegate(&source, &format, &none, &admin, rng, at(1));
    assert_eq!(derived.unwrap_err().kind(), ErrorKind::Exceeds);
    let less = blank()
        .permissions(["read"])
        .unwrap()
        .rate_limit(hourly(100));
    assert!(delegate(&source, &format, &none, &less, rng, at(1)).is_ok());
}

#[test]
fn p5_expiry_saturates_to_expired() {
    let mut service = Service::structured();
    let day = Millis::from_days(1);
    let issued = service.issue(&client().expires_in(day).unwrap());
    let (text, end) = (issued.key.expose(), issued.record.expires_at.unwrap());
    let ask = |now: UnixMillis| {
        let mut usage = Usage::of(&issued.record);
        let (record, request) = (Some(&issued.record), Request::new());
        code(&service.ask(text.as_bytes(), record, &request, &mut usage, now))
    };
    let last = UnixMillis::new(end.get() - 1).unwrap();
    assert_eq!(ask(last), None);
    for now in [end, end.plus(Millis::new(1)).unwrap(), UnixMillis::MAX] {
        assert_eq!(ask(now), Some(DenialCode::KeyExpired));
    }
    // An end that cannot be represented is refused, not rounded to never.
    for lifetime in [
        u64::MAX,
        UnixMillis::MAX.get(),
        UnixMillis::MAX.get() - at(0).get() + 1,
    ] {
        let request = client().expires_in(Millis::new(lifetime)).unwrap();
        let mut rng = TestRng::seeded(1);
        let refused = issue(
            &service.format,
            &PepperRing::none(),
            &request,
            &mut rng,
            at(0),
        );
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Time);
    }
    assert!(UnixMillis::MAX.plus(Millis::new(1)).is_err());
    assert!(UnixMillis::MAX.plus(Millis::new(u64::MAX)).is_err());
    assert_eq!(UnixMillis::MIN.since(UnixMillis::MAX), Millis::ZERO);
}

proptest! {
    /// Through the whole decision, with the state kept as a store keeps it.
    #[test]
    fn p6_the_limiter_admits_no_more_than_it_says(
        limit in 0u32..6,
        window in 1u64..2_000,
        steps in proptest::collection::vec(0u64..400, 1..80),
    ) {
        let mut service = Service::structured();
        let rate = RateLimit::new(limit, Millis::new(window)).unwrap();
        let issued = service.issue(&client().rate_limit(rate));
        let mut usage = Usage::of(&issued.record);
        let (mut now, mut admitted) = (0, Vec::new());
        for step in steps {
            now += if step % 2 == 0 { 0 } else { step };
            let bits = usage.rate.to_bits();
            usage = Usage::new(RateState::from_bits(bits), usage.remaining);
            let key = issued.key.expose().as_bytes();
            let request = Request::new();
            let decision =
                service.ask(key, Some(&issued.record), &request, &mut usage, at(now));
            match decision {
                Decision::Allow(allowed) => {
                    admitted.push(now);
                    prop_assert_eq!(allowed.quota.unwrap().limit(), rate);
                }
                Decision::Deny(denial) => {
                    prop_assert_eq!(denial.code(), DenialCode::RateLimited);
                    prop_assert_eq!(usage.rate.to_bits(), bits, "a refusal costs nothing");
                }
            }
        }
        for (first, start) in admitted.iter().enumerate() {
            for (last, end) in admitted.iter().enumerate().skip(first) {
                let beyond_burst = (last - first + 1).saturating_sub(limit as usize) as u64;
                prop_assert!(beyond_burst * window <= u64::from(limit) * (end - start));
            }
        }
    }
}

#[test]
fn p10_during_a_rotation_at_least_one_and_at_most_two_keys_live() {
    let mut service = Service::structured();
    for (lifetime, overlap) in [(90, 7), (1, 7), (90, 0), (3, 3)] {
        let policy = RotationPolicy::default()
            .with_overlap(Millis::from_days(overlap))
            .unwrap();
        let request = client().expires_in(Millis::from_days(lifetime)).unwrap();
        let first = service.issue(&request).record;
        let (format, none) = (service.format.clone(), PepperRing::none());
        let rng = &mut service.rng;
        let rotated = rotate(&first, &[], &policy, &format, &none, rng, at(5)).unwrap();
        let second = rotated.successor;
        let all = [rotated.changed[0].clone(), second.clone()];
        let again = rotate(&second, &all, &policy, &format, &none, rng, at(9)).unwrap();
        let mut lineage = again.changed;
        lineage.push(again.successor);
        let end = lineage.last().unwrap().expires_at.unwrap();
        let instants = lineage
            .iter()
            .flat_map(|record| [record.expires_at, record.overlap_until])
            .flatten()
            .flat_map(|end| [end.get() - 1, end.get(), end.get() + 1])
            .map(|instant| UnixMillis::new(instant).unwrap())
            .filter(|instant| (at(9)..end).contains(instant));
        for instant in instants {
            let live = lineage
                .iter()
                .filter(|record| record.is_live(instant))
                .count();
            assert!((1..=2).contains(&live), "{live} keys");
        }
        let oldest = lineage.iter().find(|record| record.id == first.id);
        if let Some(oldest) = oldest {
            assert!(
                oldest.ends_at() <= first.expires_at,
                "never past its own end"
            );
        }
    }
}
