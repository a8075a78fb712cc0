//! The one decision function: every caller uses it, and it checks in one order.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::decision::allowed::{Allowed, Notice};
use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::key::id::KeyId;
use crate::key::label::Environment;
use crate::key::presented::{Lookup, PresentedKey};
use crate::policy::endpoint::{EndpointRules, Rules};
use crate::policy::network::Networks;
use crate::policy::path::is_canonical_path;
use crate::policy::permission::Granted;
use crate::policy::rate_limit::{Quota, RateLimit};
use crate::policy::requirement::{Missing, Requirement};
use crate::record::key_record::{KeyRecord, Status};
use crate::record::usage::{NotSpent, Usage};
use crate::time::UnixMillis;

/// Which keys a service accepts: their formats, and the peppers of their digests.
#[derive(Clone, Debug)]
pub struct Verifier {
    formats: Vec<KeyFormat>,
    peppers: PepperRing,
}

impl Verifier {
    /// Accepts keys of one format, whose digests have no pepper.
    #[must_use]
    pub fn new(format: KeyFormat) -> Self {
        Self {
            formats: Vec::from([format]),
            peppers: PepperRing::none(),
        }
    }

    /// Also accepts keys of another format, for example during a migration.
    #[must_use]
    pub fn and(mut self, format: KeyFormat) -> Self {
        self.formats.push(format);
        self
    }

    /// Checks digests under these peppers.
    #[must_use]
    pub fn with_peppers(mut self, peppers: PepperRing) -> Self {
        self.peppers = peppers;
        self
    }

    /// The peppers.
    #[must_use]
    pub const fn peppers(&self) -> &PepperRing {
        &self.peppers
    }

    /// Reads a presented key: its shape, then its check.
    ///
    /// # Errors
    /// A [`Denial`] with [`Cause::Malformed`] if it matches none of the formats.
    #[inline]
    pub fn parse<'k>(&self, credential: &'k [u8]) -> Result<PresentedKey<'k>, Denial> {
        for format in &self.formats {
            if let Some(key) = format.parse(credential) {
                return Ok(key);
            }
        }
        Err(Denial::new(Cause::Malformed))
    }

    /// The record, if it belongs to the presented key; otherwise why it does not.
    pub(crate) fn prove<'r>(
        &self,
        key: &PresentedKey<'_>,
        record: Option<&'r KeyRecord>,
    ) -> Result<&'r KeyRecord, Cause> {
        // A record of another key counts as none, whichever lookup returned it.
        let record = record.filter(|record| key.claimed_id().is_none_or(|id| *id == record.id));
        let proved = self
            .peppers
            .proves(key.text(), record.map(|record| &record.digest));
        match record {
            Some(record) if proved => Ok(record),
            Some(record) if self.peppers.knows(record.digest.kind()) => Err(Cause::WrongSecret),
            Some(_) => Err(Cause::PepperUnavailable),
            None => Err(Cause::UnknownKey),
        }
    }

    /// How to look up a key's record in a store.
    #[must_use]
    pub fn lookup(&self, key: &PresentedKey<'_>) -> Lookup {
        key.lookup(&self.peppers)
    }
}

/// What a caller wants to do.
///
/// What is left out is not checked: a request without a requirement needs no permission.
/// But a key that is restricted to endpoints or networks is refused if the request does
/// not state its endpoint or address.
///
/// ```
/// use keystile::{Requirement, Request};
/// let read = Requirement::parse("read")?;
/// let request = Request::new()
///     .requires(&read)
///     .endpoint("GET", "/api/metrics/cpu")
///     .from_address("192.0.2.7".parse().unwrap());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    requirement: Option<&'r Requirement>,
    endpoint: Option<(&'r [u8], &'r [u8])>,
    environment: Option<&'r Environment>,
    address: Option<IpAddr>,
}

impl<'r> Request<'r> {
    /// A request that asks for nothing but a valid key.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            requirement: None,
            endpoint: None,
            environment: None,
            address: None,
        }
    }

    /// The permissions that the route needs.
    #[must_use]
    pub const fn requires(mut self, requirement: &'r Requirement) -> Self {
        self.requirement = Some(requirement);
        self
    }

    /// The method and the path *as they are dispatched*, after any rewriting; the path
    /// without its query.
    #[must_use]
    pub const fn endpoint(self, method: &'r str, path: &'r str) -> Self {
        self.endpoint_bytes(method.as_bytes(), path.as_bytes())
    }

    /// The same as [`endpoint`](Self::endpoint), from bytes as they were received.
    #[must_use]
    pub const fn endpoint_bytes(mut self, method: &'r [u8], path: &'r [u8]) -> Self {
        self.endpoint = Some((method, path));
        self
    }

    /// The deployment that receives the request: keys of any other, or of none, are
    /// refused.
    #[must_use]
    pub const fn in_environment(mut self, environment: &'r Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// The address of the peer, as the socket or a trusted proxy reports it.
    #[must_use]
    pub const fn from_address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }
}

/// Decides whether a presented key may be used, given the record that a lookup returned.
///
/// The order is fixed: digest (a dummy one if there is no record) → status → expiry →
/// overlap → environment → network → endpoint → permission → rate limit → remaining uses.
/// Nothing about a key's state is disclosed before its secret is verified, and nothing is
/// spent unless every earlier check has passed. A key is valid while `now < expires_at`.
///
/// `usage` changes only if the decision is [`Decision::Allow`]; the store then writes it
/// back.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// let request = IssueRequest::new("Acme Ltd")?.expires_in(Millis::from_days(30))?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// let verifier = Verifier::new(format);
/// let key = verifier.parse(issued.key.expose().as_bytes()).expect("well formed");
/// let mut usage = Usage::of(&issued.record);
/// let ask = |at| verify(&verifier, &key, Some(&issued.record), &Request::new(), &mut usage, at);
///
/// let expiry = issued.record.expires_at.unwrap();
/// let decision = { let mut ask = ask; ask(expiry) };
/// assert_eq!(decision.denial().unwrap().code(), DenialCode::KeyExpired);
/// # Ok::<(), Error>(())
/// ```
pub fn verify(
    verifier: &Verifier,
    key: &PresentedKey<'_>,
    record: Option<&KeyRecord>,
    request: &Request<'_>,
    usage: &mut Usage,
    now: UnixMillis,
) -> Decision {
    // store-forwarding stall: build in place (see ARCHITECTURE.md)
    let record = match verifier.prove(key, record) {
        Ok(record) => record,
        Err(cause) => return Decision::Deny(Denial::new(cause)),
    };
    let terms = Terms::of(record);
    if let Err(barred) = terms.permit(request, now) {
        return Decision::Deny(barred.of(terms.id));
    }
    let spent = usage.spend(terms.rate_limit, record.remaining_uses, now);
    let quota = terms.rate_limit.map(|limit| limit.quota(usage.rate, now));
    match spent {
        Err(refused) => Decision::Deny(refused.of(terms.id, quota)),
        Ok(()) => Decision::Allow(Allowed {
            key_id: terms.id,
            version: record.version,
            lineage: record.lineage,
            quota,
            remaining_uses: usage.remaining,
            notice: Notice::of(record.replaced_by, record.overlap_until),
            ends_overlap_of: record.ends_at_first_use,
            needs_rehash: verifier.peppers.is_outdated(&record.digest),
        }),
    }
}

impl NotSpent {
    /// The denial, with what is left of the limit.
    pub(crate) fn of(self, key_id: KeyId, quota: Option<Quota>) -> Denial {
        match (self, quota) {
            (Self::RateLimit, Some(quota)) => Denial::limited(quota, key_id),
            (Self::RateLimit, None) => Denial::of(Cause::RateLimit, key_id),
            (Self::Uses, _) => Denial::of(Cause::UsesSpent, key_id),
        }
    }
}

/// Why a request is refused. A denial is larger, and is built only once.
pub(crate) enum Barred {
    By(Cause),
    Lacking(Missing),
}

impl Barred {
    #[cold]
    pub(crate) fn of(self, key_id: KeyId) -> Denial {
        match self {
            Self::By(cause) => Denial::of(cause, key_id),
            Self::Lacking(missing) => Denial::lacking(missing, key_id),
        }
    }
}

/// What a decision reads of a record, wherever the record is stored.
pub(crate) struct Terms<'r> {
    pub(crate) id: KeyId,
    pub(crate) standing: Standing,
    pub(crate) expires_at: Option<UnixMillis>,
    pub(crate) replaced_by: Option<KeyId>,
    pub(crate) overlap_until: Option<UnixMillis>,
    pub(crate) environment: Option<&'r Environment>,
    pub(crate) networks: Option<&'r Networks>,
    pub(crate) endpoints: Option<Rules<'r>>,
    pub(crate) permissions: Granted<'r>,
    pub(crate) rate_limit: Option<&'r RateLimit>,
}

/// A [`Status`] without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Suspended,
    Revoked,
}

impl<'r> Terms<'r> {
    #[inline]
    pub(crate) fn of(record: &'r KeyRecord) -> Self {
        Self {
            id: record.id,
            standing: match record.status {
                Status::Active => Standing::Active,
                Status::Suspended => Standing::Suspended,
                Status::Revoked { .. } => Standing::Revoked,
            },
            expires_at: record.expires_at,
            replaced_by: record.replaced_by,
            overlap_until: record.overlap_until,
            environment: record.environment.as_ref(),
            networks: record.allowed_networks.as_ref(),
            endpoints: record.allowed_endpoints.as_ref().map(EndpointRules::view),
            permissions: record.permissions.view(),
            rate_limit: record.rate_limit.as_ref(),
        }
    }

    /// All checks between the proof of the secret and the limits.
    #[inline(always)]
    pub(crate) fn permit(&self, request: &Request<'_>, now: UnixMillis) -> Result<(), Barred> {
        let refuse = |cause| Err(Barred::By(cause));
        match self.standing {
            Standing::Active => {}
            Standing::Suspended => return refuse(Cause::Suspended),
            Standing::Revoked => return refuse(Cause::Revoked),
        }
        if self.expires_at.is_some_and(|expiry| now >= expiry) {
            return refuse(Cause::Expired);
        }
        // A replaced key whose overlap has no end has no overlap: it is refused.
        let overlap_over = self.overlap_until.is_some_and(|end| now >= end);
        if overlap_over || (self.replaced_by.is_some() && self.overlap_until.is_none()) {
            return refuse(Cause::Replaced);
        }
        if request
            .environment
            .is_some_and(|asked| self.environment != Some(asked))
        {
            return refuse(Cause::Environment);
        }
        if let Some(networks) = self.networks
            && !request
                .address
                .is_some_and(|address| networks.contains(address))
        {
            return refuse(Cause::Network);
        }
        match (request.endpoint, self.endpoints) {
            (Some((_, path)), _) if !is_canonical_path(path) => {
                return refuse(Cause::PathNotCanonical);
            }
            (Some((method, path)), Some(rules)) if !rules.allows_canonical(method, path) => {
                return refuse(Cause::Endpoint);
            }
            (None, Some(_)) => return refuse(Cause::Endpoint),
            _ => {}
        }
        match request
            .requirement
            .and_then(|asked| asked.check(self.permissions))
        {
            None => Ok(()),
            Some(missing) => Err(Barred::Lacking(missing)),
        }
    }
}
