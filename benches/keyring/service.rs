//! A service with a keyring, and the keys that it has issued.

use keystile::{
    Cause, Check, CredentialExtractor, CredentialSources, Decision, IssueRequest, Issued,
    KeyFormat, KeyRecord, Keyring, Millis, PepperRing, RateLimit, Request, Requirement, SysRng,
    UnixMillis, Verifier, issue,
};

/// The header that each key is presented in.
pub(crate) const HEADER: &[u8] = b"x-api-key";
pub(crate) const METHOD: &str = "GET";
pub(crate) const PATH: &str = "/api/metrics/cpu/load";
pub(crate) const PERMISSIONS: [&str; 2] = ["invoices:read", "metrics:read"];
pub(crate) const REQUIRED: &str = "metrics:read";

/// Characters of each key that is issued here.
pub(crate) const KEY_BYTES: usize = 76;

/// The text of a key.
pub(crate) type KeyText = [u8; KEY_BYTES];

/// One route of a service, and what it needs to decide a request to it.
pub(crate) struct Service {
    pub(crate) format: KeyFormat,
    pub(crate) verifier: Verifier,
    pub(crate) rules: CredentialExtractor,
    pub(crate) keyring: Keyring,
    requirement: Requirement,
    pub(crate) now: UnixMillis,
}

impl Service {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let format = KeyFormat::structured("acme").unwrap();
        let verifier = Verifier::new(format.clone());
        Self {
            keyring: Keyring::builder(verifier.clone())
                .capacity(capacity)
                .build()
                .unwrap(),
            rules: CredentialExtractor::new(CredentialSources::new(), &verifier),
            verifier,
            format,
            requirement: Requirement::parse(REQUIRED).unwrap(),
            now: UnixMillis::new(1_790_000_000_000).unwrap(),
        }
    }

    /// The request for a typical key: two permissions, one endpoint rule and one limit,
    /// which is too wide to be reached in a benchmark.
    pub(crate) fn typical(&self, number: usize) -> IssueRequest {
        let limit = RateLimit::new(1_000_000_000, Millis::from_hours(1)).unwrap();
        self.unlimited(number).rate_limit(limit)
    }

    /// The same without a limit.
    pub(crate) fn unlimited(&self, number: usize) -> IssueRequest {
        // Ten keys per owner.
        IssueRequest::new(&format!("client {number}"))
            .and_then(|ask| ask.owner(format!("owner {}", number / 10).as_str()))
            .and_then(|ask| ask.environment("live"))
            .and_then(|ask| ask.permissions(PERMISSIONS))
            .and_then(|ask| ask.endpoints(["GET,HEAD /api/metrics/*"]))
            .unwrap()
    }

    pub(crate) fn issue(&self, ask: &IssueRequest) -> Issued {
        issue(
            &self.format,
            &PepperRing::none(),
            ask,
            &mut SysRng,
            self.now,
        )
        .unwrap()
    }

    /// Issues a key and caches its record in the keyring.
    pub(crate) fn issue_cached(&self, ask: &IssueRequest) -> (KeyText, KeyRecord) {
        let issued = self.issue(ask);
        let text = text_of(&issued);
        self.fetch(&text, Some(&issued.record), None);
        (text, issued.record)
    }

    /// A check that asks for the record, and its decision.
    pub(crate) fn fetch(&self, text: &[u8], record: Option<&KeyRecord>, expected: Option<Cause>) {
        let Check::NeedsRecord(ticket) = self.keyring.check(text, &self.request(), self.now) else {
            panic!("the record is cached");
        };
        let check = self.keyring.admit(ticket, record, self.now);
        assert_eq!(cause(&check), expected);
    }

    /// What each key is used for.
    #[inline]
    pub(crate) fn request(&self) -> Request<'_> {
        Request::new()
            .requires(&self.requirement)
            .endpoint(METHOD, PATH)
    }

    /// From the bytes of a header to the decision on a cached record, which must be to
    /// allow.
    #[inline]
    pub(crate) fn admits(&self, value: &[u8]) -> bool {
        let Ok(credential) = self.rules.extract([(HEADER, value)]) else {
            return false;
        };
        let check = self
            .keyring
            .check(credential.as_bytes(), &self.request(), self.now);
        // The quota is read in place, as by a caller that writes it into headers.
        matches!(&check, Check::Decided(Decision::Allow(allowed), _) if allowed.notice.is_none())
    }
}

/// The cause of a refusal, or `None` if the request is allowed.
#[inline]
pub(crate) fn cause(check: &Check<'_>) -> Option<Cause> {
    match check {
        Check::Decided(decision, _) => decision.denial().map(|denial| denial.cause()),
        Check::NeedsRecord(_) => panic!("the record is not cached"),
        Check::NeedsTokens(_) => panic!("its limits are its own"),
    }
}

/// The text of a key that was just issued.
pub(crate) fn text_of(issued: &Issued) -> KeyText {
    issued.key.expose().as_bytes().try_into().unwrap()
}

/// Pseudorandom numbers, the same in each run.
pub(crate) struct BenchRng(u64);

impl BenchRng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (Vigna's splitmix64, scaled down).
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let scaled = (u128::from(mixed) * u128::try_from(end).unwrap()) >> 64;
        usize::try_from(scaled).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
