//! A minimal service: it issues keys of one format and decides requests with them.

use keystile::{
    Checksum, Decision, IssueRequest, Issued, KeyFormat, KeyRecord, Pepper, PepperRing, Request,
    UnixMillis, Usage, Verifier, issue, verify,
};

use crate::common::test_rng::TestRng;

/// The instant at which the tests start, in 2026.
pub(crate) const START: u64 = 1_790_000_000_000;

/// The instant `millis` after the start.
pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(START + millis).unwrap()
}

/// The instant `millis` before the start.
pub(crate) fn before(millis: u64) -> UnixMillis {
    UnixMillis::new(START - millis).unwrap()
}

pub(crate) struct Service {
    pub(crate) format: KeyFormat,
    pub(crate) verifier: Verifier,
    pub(crate) rng: TestRng,
}

impl Service {
    pub(crate) fn new(format: KeyFormat) -> Self {
        Self {
            verifier: Verifier::new(format.clone()),
            format,
            rng: TestRng::seeded(0xACE),
        }
    }

    /// Structured keys that begin with `acme_`.
    pub(crate) fn structured() -> Self {
        Self::new(KeyFormat::structured("acme").unwrap())
    }

    /// Structured keys with a keyed check.
    pub(crate) fn keyed() -> Self {
        let keyed = Checksum::keyed(b"a check key of the server").unwrap();
        let format = KeyFormat::structured("acme").unwrap();
        Self::new(format.with_checksum(keyed).unwrap())
    }

    /// Opaque keys that begin with `dt_`.
    pub(crate) fn opaque() -> Self {
        Self::new(KeyFormat::opaque("dt").unwrap())
    }

    /// One service of each kind, and its name.
    pub(crate) fn all() -> [(&'static str, Self); 4] {
        let mut peppered = Self::structured();
        peppered.verifier = peppered.verifier.with_peppers(ring());
        [
            ("structured", Self::structured()),
            ("keyed", Self::keyed()),
            ("opaque", Self::opaque()),
            ("peppered", peppered),
        ]
    }

    /// A new key, issued at the start.
    pub(crate) fn issue(&mut self, request: &IssueRequest) -> Issued {
        let peppers = self.verifier.peppers().clone();
        issue(&self.format, &peppers, request, &mut self.rng, at(0)).unwrap()
    }

    /// A complete request: shape, check, and the decision on a record.
    pub(crate) fn ask(
        &self,
        credential: &[u8],
        record: Option<&KeyRecord>,
        request: &Request<'_>,
        usage: &mut Usage,
        now: UnixMillis,
    ) -> Decision {
        match self.verifier.parse(credential) {
            Ok(key) => verify(&self.verifier, &key, record, request, usage, now),
            Err(denial) => Decision::Deny(denial),
        }
    }

    /// The same as [`ask`](Self::ask), one millisecond after the start and with unused
    /// usage.
    pub(crate) fn ask_once(
        &self,
        credential: &str,
        record: &KeyRecord,
        request: &Request<'_>,
    ) -> Decision {
        let mut usage = Usage::of(record);
        self.ask(
            credential.as_bytes(),
            Some(record),
            request,
            &mut usage,
            at(1),
        )
    }
}

/// Two peppers; version 2 is the current one.
pub(crate) fn ring() -> PepperRing {
    PepperRing::new(Pepper::new(2, &[2; 32]).unwrap())
        .with_retired(Pepper::new(1, &[1; 32]).unwrap())
        .unwrap()
}

/// A request for a key with some permissions.
pub(crate) fn client() -> IssueRequest {
    IssueRequest::new("Acme Ltd")
        .unwrap()
        .environment("live")
        .unwrap()
        .permissions(["read", "invoices:*"])
        .unwrap()
}
