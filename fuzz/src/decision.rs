//! A decision is what the rules require in their order, for any record, request and key.

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr};

use keystile::{
    Cause, Decision, DigestKind, EndpointRules, Environment, IssueRequest, KeyFormat, KeyId,
    KeyRecord, Millis, Networks, Pepper, PepperRing, PermissionSet, RateLimit, RateLimitFields,
    RateState, Request, Requirement, Status, StatusPolicy, TryCryptoRng, TryRng, UnixMillis, Usage,
    Verifier, allowed_headers, issue, respond, verify,
};

use super::draw::Draw;
use super::rules::{check, has_check, is_canonical};

const NOW: u64 = 1_790_000_000_000;
const PERMISSIONS: [&str; 7] = ["read", "write", "a:*", "a:b", "a:*:c", "*", "READ"];
const RULES: [&str; 7] = [
    "/*",
    "/api/data/*",
    "GET,HEAD /api/data/*",
    "POST /api/data/7",
    "/api/*/7",
    "/",
    "/api/data/",
];
const PATHS: [&str; 9] = [
    "/",
    "/api/data/7",
    "/api/data/",
    "/api/data",
    "/api/data/7/x",
    "/api/../data/7",
    "/api//7",
    "/api/%64ata/7",
    "",
];
const REQUIREMENTS: [&str; 6] = [
    "read",
    "read AND write",
    "write OR a:b",
    "a:b:c",
    "(read OR write) AND a:b",
    "read OR read",
];
const NETWORKS: [&str; 4] = ["192.0.2.0/24", "198.51.100.7", "0.0.0.0/0", "2001:db8::/32"];

pub fn run(data: &[u8]) {
    let mut draw = Draw::of(data);
    let scenario = Scenario::draw(&mut draw);
    let presented = presented(&mut draw, &scenario.text);
    scenario.judge(&presented, draw.byte() % 8 != 7);
}

/// A key that was issued, its record as it may have changed, and a request.
struct Scenario {
    verifier: Verifier,
    /// The versions in the verifier's pepper ring.
    peppers: &'static [u32],
    text: Vec<u8>,
    record: KeyRecord,
    requirement: Option<Requirement>,
    endpoint: Option<(&'static str, &'static str)>,
    environment: Option<Environment>,
    address: Option<IpAddr>,
    usage: Usage,
    now: UnixMillis,
}

impl Scenario {
    fn draw(draw: &mut Draw<'_>) -> Self {
        let format = match draw.byte() % 3 {
            0 => KeyFormat::structured("acme").unwrap(),
            1 => KeyFormat::opaque("dt").unwrap(),
            _ => KeyFormat::opaque("acme")
                .unwrap()
                .with_random_bytes(16)
                .unwrap(),
        };
        let pepper = |version: u32| Pepper::new(version, &[version as u8; 32]).unwrap();
        let made_under = match draw.byte() % 3 {
            0 => PepperRing::none(),
            version => PepperRing::new(pepper(version.into())),
        };
        let peppers: &'static [u32] = draw.pick(&[&[], &[1], &[2], &[2, 1]]);
        let checked_under = match peppers {
            [] => PepperRing::none(),
            [current, retired @ ..] => retired
                .iter()
                .fold(PepperRing::new(pepper(*current)), |ring, version| {
                    ring.with_retired(pepper(*version)).unwrap()
                }),
        };
        let environment =
            |draw: &mut Draw<'_>| Environment::new(draw.pick(&["live", "test"])).unwrap();
        let now = UnixMillis::new(NOW).unwrap();
        let mut ask = IssueRequest::new("client").unwrap();
        if let Some(own) = draw.maybe(environment) {
            ask = ask.environment(own.as_str()).unwrap();
        }
        let mut source = Source(draw.u64());
        let issued = issue(&format, &made_under, &ask, &mut source, now).unwrap();

        let instant = |draw: &mut Draw<'_>| {
            let near = draw.pick(&[NOW - 1, NOW, NOW + 1, NOW + 60_000, 100_000_000_000]);
            UnixMillis::new(near).unwrap()
        };
        let other = |draw: &mut Draw<'_>| KeyId::random(&mut Source(draw.u64())).unwrap();
        let mut record = issued.record;
        record.status = match draw.byte() % 8 {
            0 => Status::Suspended,
            1 => Status::Revoked {
                at: now,
                reason: "leaked".into(),
            },
            _ => Status::Active,
        };
        record.expires_at = draw.maybe(instant);
        record.overlap_until = draw.maybe(instant);
        record.replaced_by = draw.maybe(other);
        record.ends_at_first_use = draw.maybe(other);
        record.permissions = PermissionSet::new(draw.some(&PERMISSIONS)).unwrap();
        record.allowed_endpoints =
            draw.maybe(|draw| EndpointRules::new(draw.some(&RULES)).unwrap());
        record.allowed_networks = draw.maybe(|draw| Networks::new(draw.some(&NETWORKS)).unwrap());
        record.rate_limit = draw.maybe(|draw| {
            let limit = draw.pick(&[0, 1, 2, 1_000]);
            RateLimit::new(limit, Millis::from_secs(60)).unwrap()
        });
        if draw.byte() % 8 == 7 {
            record.id = other(draw);
        }
        let spent = draw.pick(&[0, NOW - 1, NOW + 1, NOW + 60_000, 1 << 43]) << 20;
        Self {
            verifier: Verifier::new(format).with_peppers(checked_under),
            peppers,
            text: issued.key.expose().as_bytes().to_vec(),
            record,
            requirement: draw.maybe(|draw| draw.pick(&REQUIREMENTS).parse().unwrap()),
            endpoint: draw
                .maybe(|draw| (draw.pick(&["GET", "POST", "get", ""]), draw.pick(&PATHS))),
            environment: draw.maybe(environment),
            address: draw.maybe(|draw| {
                IpAddr::from(
                    draw.pick(&[Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(198, 51, 100, 7)]),
                )
            }),
            usage: Usage::new(
                RateState::from_bits(spent),
                draw.maybe(|draw| draw.pick(&[0, 1, 2, u64::MAX])),
            ),
            now: instant(draw),
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

    fn judge(&self, presented: &[u8], found: bool) {
        let Ok(key) = self.verifier.parse(presented) else {
            assert_ne!(presented, self.text);
            return;
        };
        let record = found.then_some(&self.record);
        let request = self.request();
        let mut usage = self.usage;
        let decision = verify(&self.verifier, &key, record, &request, &mut usage, self.now);
        // The same input gives the same decision.
        let mut again = self.usage;
        assert_eq!(
            verify(&self.verifier, &key, record, &request, &mut again, self.now),
            decision
        );

        let is_it = presented == self.text;
        let expected = self.expected(record, is_it, &key);
        let secret = String::from_utf8_lossy(&presented[presented.len() - 32..]).into_owned();
        assert!(!format!("{decision:?}{key:?}{:?}", self.record).contains(&secret));
        match decision {
            Decision::Allow(allowed) => {
                assert_eq!(expected, None);
                assert!(is_it);
                assert_eq!(
                    (allowed.key_id, allowed.lineage),
                    (self.record.id, self.record.lineage)
                );
                assert_eq!(allowed.quota.is_some(), self.record.rate_limit.is_some());
                assert_eq!(allowed.remaining_uses, usage.remaining);
                assert_eq!(
                    allowed.notice.is_some(),
                    self.record.replaced_by.is_some() && self.record.overlap_until.is_some()
                );
                assert_eq!(allowed.ends_overlap_of, self.record.ends_at_first_use);
                // One use and one request are spent.
                assert_eq!(usage.remaining, self.usage.remaining.map(|left| left - 1));
                let rate = self
                    .record
                    .rate_limit
                    .map(|limit| limit.admit(self.usage.rate, self.now).unwrap());
                assert_eq!(usage.rate, rate.unwrap_or(self.usage.rate));
                let shown = allowed_headers(&allowed, RateLimitFields::Draft8, self.now);
                assert!(shown.iter().all(|(_, value)| !value.contains(&secret)));
            }
            Decision::Deny(denial) => {
                assert_eq!(Some(denial.cause()), expected);
                assert_eq!(usage, self.usage, "a refusal was paid for");
                // Nothing is disclosed before the secret is verified.
                let proved = !matches!(
                    denial.cause(),
                    Cause::UnknownKey | Cause::WrongSecret | Cause::PepperUnavailable
                );
                assert_eq!(denial.key_id(), proved.then_some(&self.record.id));
                let undisclosed = ["invalid_key", "pepper_unavailable"];
                assert_eq!(!undisclosed.contains(&denial.code().as_str()), proved);
                assert_eq!(denial.quota().is_some(), denial.cause() == Cause::RateLimit);
                self.answers(&denial, &secret);
            }
        }
    }

    /// The response discloses no more than the code and what is missing.
    fn answers(&self, denial: &keystile::Denial, secret: &str) {
        let asked = self.requirement.as_ref();
        let missing: Vec<&str> = asked
            .map(|asked| denial.missing(asked).collect())
            .unwrap_or_default();
        assert_eq!(missing.is_empty(), denial.cause() != Cause::Permission);
        assert!(
            missing
                .iter()
                .all(|name| !self.record.permissions.grants(name))
        );
        for policy in [StatusPolicy::Rfc9110, StatusPolicy::Express] {
            let response = respond(denial, policy, asked);
            assert_eq!(response.status, denial.code().status(policy));
            let uncheckable = denial.cause() == Cause::PepperUnavailable;
            assert_eq!(response.status == 503, uncheckable);
            assert!(matches!(response.status, 401 | 403 | 429 | 503));
            let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
            assert_eq!(body["code"], denial.code().as_str());
            assert_eq!(body.get("missing").is_some(), !missing.is_empty());
            assert!(!response.body.contains(secret));
            let named = |name| response.headers.iter().any(|(own, _)| *own == name);
            assert_eq!(named("www-authenticate"), response.status == 401);
            assert_eq!(named("retry-after"), denial.retry_after().is_some());
        }
    }

    /// The rules in their order, each written independently of the core.
    fn expected(
        &self,
        record: Option<&KeyRecord>,
        is_it: bool,
        key: &keystile::PresentedKey<'_>,
    ) -> Option<Cause> {
        let Some(record) = record else {
            return Some(Cause::UnknownKey);
        };
        if key.claimed_id().is_some_and(|id| *id != record.id) {
            return Some(Cause::UnknownKey);
        }
        if let DigestKind::HmacSha256 { pepper } = record.digest.kind()
            && !self.peppers.contains(&pepper)
        {
            return Some(Cause::PepperUnavailable);
        }
        if !is_it {
            return Some(Cause::WrongSecret);
        }
        match record.status {
            Status::Active => {}
            Status::Suspended => return Some(Cause::Suspended),
            _ => return Some(Cause::Revoked),
        }
        let now = self.now;
        if record.expires_at.is_some_and(|end| now >= end) {
            return Some(Cause::Expired);
        }
        let replaced = match (record.replaced_by, record.overlap_until) {
            (_, Some(end)) => now >= end,
            (by, None) => by.is_some(),
        };
        if replaced {
            return Some(Cause::Replaced);
        }
        if self.environment.is_some() && self.environment != record.environment {
            return Some(Cause::Environment);
        }
        if let Some(networks) = &record.allowed_networks
            && !self
                .address
                .is_some_and(|address| networks.contains(address))
        {
            return Some(Cause::Network);
        }
        match (self.endpoint, &record.allowed_endpoints) {
            (Some((_, path)), _) if !is_canonical(path) => {
                return Some(Cause::PathNotCanonical);
            }
            (Some((method, path)), Some(rules)) if !rules.allows(method, path) => {
                return Some(Cause::Endpoint);
            }
            (None, Some(_)) => return Some(Cause::Endpoint),
            _ => {}
        }
        if let Some(asked) = &self.requirement
            && !asked.is_satisfied_by(&record.permissions)
        {
            return Some(Cause::Permission);
        }
        if let Some(limit) = record.rate_limit
            && limit.admit(self.usage.rate, now).is_err()
        {
            return Some(Cause::RateLimit);
        }
        (self.usage.remaining == Some(0)).then_some(Cause::UsesSpent)
    }
}

/// The key itself, or another text.
fn presented(draw: &mut Draw<'_>, text: &[u8]) -> Vec<u8> {
    let mut other = text.to_vec();
    match draw.byte() % 4 {
        0 | 1 => return other,
        2 => {
            // Another secret with the same id and the right check.
            let end = other.len() - 6;
            let at = end - 1 - usize::from(draw.byte() % 16);
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            if has_check(text) {
                let check = check(&other[..end]);
                other[end..].copy_from_slice(&check);
            }
        }
        _ => {
            let at = usize::from(draw.byte()) % other.len();
            other[at] = draw.byte();
        }
    }
    other
}

/// Good enough to make keys that differ, but not a source for real ones.
struct Source(u64);

impl TryRng for Source {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|wide| (wide >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        // SplitMix64, by Guy Steele, Doug Lea and Christine Flood.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(mixed ^ mixed >> 31)
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for chunk in to.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Source {}
