//! An explanation says what the decision says, for any record and request.

use core::net::IpAddr;

use keystile::{
    Cause, CheckStep, Decision, Denial, DenialCode, EndpointRules, Environment, Issued, Issuer,
    KeyFormat, KeyRecord, Millis, Networks, Pepper, PepperRing, PermissionSet, RateLimit,
    RateState, Request, Requirement, Status, UnixMillis, Usage, Verifier, explain, verify,
};

use crate::common::service::{at, client};
use crate::common::test_rng::TestRng;

const STEPS: [CheckStep; 10] = [
    CheckStep::Secret,
    CheckStep::Status,
    CheckStep::Expiry,
    CheckStep::Overlap,
    CheckStep::Environment,
    CheckStep::Network,
    CheckStep::Endpoint,
    CheckStep::Permission,
    CheckStep::RateLimit,
    CheckStep::Uses,
];

/// The check that a cause belongs to, from the table of the specification.
fn step_of(cause: Cause) -> CheckStep {
    match cause {
        Cause::PepperUnavailable => CheckStep::Secret,
        Cause::Revoked | Cause::Suspended => CheckStep::Status,
        Cause::Expired => CheckStep::Expiry,
        Cause::Replaced => CheckStep::Overlap,
        Cause::Environment => CheckStep::Environment,
        Cause::Network => CheckStep::Network,
        Cause::PathNotCanonical | Cause::Endpoint => CheckStep::Endpoint,
        Cause::Permission => CheckStep::Permission,
        Cause::RateLimit => CheckStep::RateLimit,
        Cause::UsesSpent => CheckStep::Uses,
        other => panic!("{other:?} is no cause of a key whose secret was verified"),
    }
}

struct Scene {
    issued: Issued,
    verifier: Verifier,
    record: KeyRecord,
    usage: Usage,
    requirement: Option<Requirement>,
    environment: Option<Environment>,
    endpoint: Option<(&'static str, &'static str)>,
    address: Option<IpAddr>,
    now: UnixMillis,
}

impl Scene {
    /// Each restriction is there in about half of the scenes, and passes in most of those, so
    /// that later checks decide as often as earlier ones.
    fn drawn(rng: &mut TestRng) -> Self {
        let now = at(5_000);
        let format = KeyFormat::structured("acme").unwrap();
        let pepper = |version: u32| Pepper::new(version, &[version as u8; 32]).unwrap();
        let ring = |version: u64| match version {
            0 => PepperRing::none(),
            version => PepperRing::new(pepper(version as u32)),
        };
        let made_under = rng.below(2);
        let known = if rng.below(12) == 0 { 2 } else { made_under };
        let issuer = Issuer::new(format.clone()).with_peppers(ring(made_under));
        let issued = issuer.issue(&client(), rng, at(0)).unwrap();
        let mut record = issued.record.clone();
        let mut pick = |most: u64| rng.below(most);
        let other = "1AbCdEfGhIjKlMnO".parse().unwrap();
        record.status = match pick(14) {
            0 => Status::Suspended,
            1 => Status::Revoked {
                at: now,
                reason: "left in a log".into(),
            },
            _ => Status::Active,
        };
        let instants = [at(4_999), now, at(5_001), at(9_000), at(9_000), at(9_000)];
        record.expires_at = (pick(2) == 0).then(|| instants[pick(6) as usize]);
        record.replaced_by = (pick(4) == 0).then_some(other);
        record.overlap_until = match record.replaced_by {
            Some(_) => (pick(8) != 0).then(|| instants[pick(6) as usize]),
            None => None,
        };
        let environments = ["live", "test", "live", "live"].map(Environment::new);
        record.environment = (pick(8) != 0).then(|| environments[pick(4) as usize].unwrap());
        record.permissions =
            PermissionSet::new(&["read", "write", "a:*"][..pick(4) as usize]).unwrap();
        let rules = ["GET /api/data/*", "/api/*/7", "POST /"];
        record.allowed_endpoints =
            (pick(2) == 0).then(|| EndpointRules::new(&rules[..pick(4) as usize]).unwrap());
        let networks = ["192.0.2.0/24", "2001:db8::/32"];
        record.allowed_networks =
            (pick(3) == 0).then(|| Networks::new(&networks[..pick(3) as usize]).unwrap());
        let limits = [(3, 3), (2, 1), (0, 0)];
        let (limit, burst) = limits[pick(7).min(2) as usize % 3];
        record.rate_limit = (pick(2) == 0)
            .then(|| RateLimit::with_burst(limit, Millis::from_secs(1), burst).unwrap());
        record.remaining_uses = (pick(2) == 0).then(|| pick(3));
        let mut rate = RateState::default();
        if let Some(limit) = record.rate_limit {
            for _ in 0..pick(4) {
                rate = limit.admit(rate, at(4_990)).unwrap_or(rate);
            }
        }
        let usage = Usage::new(rate, (pick(2) == 0).then(|| pick(3)));
        let requirements = ["read", "read AND a:b", "write OR delete", "delete"];
        let requirement =
            (pick(2) == 0).then(|| Requirement::parse(requirements[pick(4) as usize]).unwrap());
        let paths = [
            "/api/data/7",
            "/api/data/7",
            "/",
            "/api/../data",
            "",
            "/api/x",
        ];
        let endpoint =
            (pick(4) != 0).then(|| (["GET", "POST"][pick(2) as usize], paths[pick(6) as usize]));
        let addresses = [
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "2001:db8::1",
            "198.51.100.1",
        ];
        let address = (pick(5) != 0).then(|| addresses[pick(4) as usize].parse().unwrap());
        let environment = (pick(3) == 0).then(|| environments[pick(2) as usize].unwrap());
        Self {
            verifier: Verifier::new(format).with_peppers(ring(known)),
            issued,
            record,
            usage,
            requirement,
            environment,
            endpoint,
            address,
            now,
        }
    }

    fn request(&self) -> Request<'_> {
        let request = Request::new()
            .requires(&self.requirement)
            .environment(&self.environment)
            .address(self.address);
        match self.endpoint {
            Some((method, path)) => request.endpoint(method, path),
            None => request,
        }
    }

    fn decide(&self) -> Decision {
        let key = self.issued.key.expose().as_bytes();
        let key = self.verifier.parse(key).unwrap();
        let (record, mut usage) = (Some(&self.record), self.usage);
        verify(
            &self.verifier,
            &key,
            record,
            &self.request(),
            &mut usage,
            self.now,
        )
    }
}

#[test]
fn an_explanation_agrees_with_the_decision_and_names_the_check_that_refuses() {
    let mut rng = TestRng::seeded(7);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..20_000 {
        let scene = Scene::drawn(&mut rng);
        let before = scene.usage;
        let request = scene.request();
        let explained = explain(
            &scene.verifier,
            &scene.record,
            &request,
            &scene.usage,
            scene.now,
        );
        assert_eq!(scene.usage, before, "nothing is spent");
        let decided = scene.decide();
        assert_eq!(explained.decision, decided);
        assert!(explained.checks.iter().map(|check| check.step).eq(STEPS));
        let refused = explained.refused_by();
        let expected = decided
            .denial()
            .map(|denial| (step_of(denial.cause()), Some(denial.code())));
        assert_eq!(refused.map(|check| (check.step, check.refusal)), expected);
        *seen.entry(expected.map(|(step, _)| step)).or_insert(0) += 1;

        let digest = scene.record.digest.to_string();
        let digest = digest.rsplit(':').next().unwrap();
        let key = scene.issued.key.expose();
        for check in &explained.checks {
            let text = &check.compared;
            assert!(!text.is_empty() && !text.contains(digest) && !text.contains(key));
        }
    }
    assert_eq!(
        seen.len(),
        STEPS.len() + 1,
        "each check refused, and none: {seen:?}"
    );
}

#[test]
fn a_key_in_what_was_compared_is_not_shown() {
    let mut rng = TestRng::seeded(8);
    let issuer = Issuer::new(KeyFormat::structured("acme").unwrap());
    let issued = issuer.issue(&client(), &mut rng, at(0)).unwrap();
    let verifier = Verifier::new(KeyFormat::structured("acme").unwrap());
    let key = issued.key.expose();
    let far = format!("/{}/{key}", "x".repeat(150));
    let usage = Usage::default();
    for path in [format!("/api/{key}"), format!("/api/{key}/7"), far] {
        let request = Request::new().endpoint("GET", &path);
        let explained = explain(&verifier, &issued.record, &request, &usage, at(1));
        for check in &explained.checks {
            // Of a text that is cut, half a secret would be left.
            assert!(!check.compared.contains(&key[..40]), "{}", check.compared);
        }
    }
    let hidden = Requirement::parse(key).unwrap();
    let request = Request::new().requires(&hidden);
    let explained = explain(&verifier, &issued.record, &request, &usage, at(1));
    let refused = explained.refused_by().unwrap();
    assert_eq!(refused.refusal, Some(DenialCode::PermissionMissing));
    assert!(!refused.compared.contains(key), "{}", refused.compared);
}

#[test]
fn bytes_of_a_request_cannot_write_into_a_terminal() {
    let mut rng = TestRng::seeded(9);
    let format = KeyFormat::structured("acme").unwrap();
    let record = Issuer::new(format.clone())
        .issue(&client(), &mut rng, at(0))
        .unwrap()
        .record;
    let request = Request::new().endpoint_bytes(b"GET\n", b"/a\x1b[2J\xff");
    let explained = explain(
        &Verifier::new(format),
        &record,
        &request,
        &Usage::default(),
        at(1),
    );
    let refused = explained.refused_by().unwrap();
    assert_eq!(
        refused.compared,
        r"the request is GET\n /a\x1b[2J\xff, and its path is not canonical"
    );
    assert_eq!(
        explained.decision.denial().map(Denial::code),
        Some(DenialCode::PathNotCanonical)
    );
}
