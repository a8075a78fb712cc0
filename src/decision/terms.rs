//! The one order of checks on what a record allows.

use crate::decision::cause::Cause;
use crate::decision::check_step::CheckStep;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::key::id::KeyId;
use crate::key::label::Environment;
use crate::policy::endpoint::{EndpointRules, Rules};
use crate::policy::network::Networks;
use crate::policy::permission::Granted;
use crate::policy::rate_limit::RateLimit;
use crate::policy::requirement::Missing;
use crate::record::key_record::{KeyRecord, Status};
use crate::time::UnixMillis;

/// Why a request is refused: a denial is larger, and is made once.
pub(crate) enum DenyReason {
    Cause(Cause),
    Missing(Missing),
}

impl DenyReason {
    pub(crate) const fn cause(&self) -> Cause {
        match self {
            Self::Cause(cause) => *cause,
            Self::Missing(_) => Cause::Permission,
        }
    }

    #[cold]
    pub(crate) fn denial(self, key_id: KeyId) -> Denial {
        match self {
            Self::Cause(cause) => Denial::of(cause, key_id),
            Self::Missing(missing) => Denial::for_missing(missing, key_id),
        }
    }
}

/// What a decision reads of a record, wherever the record is kept.
pub(crate) struct Terms<'r> {
    pub(crate) id: KeyId,
    pub(crate) status: StatusKind,
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
pub(crate) enum StatusKind {
    Active,
    Suspended,
    Revoked,
}

impl<'r> Terms<'r> {
    #[inline]
    pub(crate) fn of(record: &'r KeyRecord) -> Self {
        Self {
            id: record.id,
            status: match record.status {
                Status::Active => StatusKind::Active,
                Status::Suspended => StatusKind::Suspended,
                Status::Revoked { .. } => StatusKind::Revoked,
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

    /// The earliest instant that ends the key.
    #[cfg(feature = "keyring")]
    pub(crate) fn ends_at(&self) -> Option<UnixMillis> {
        let ends = [self.expires_at, self.overlap_until];
        ends.into_iter().flatten().min()
    }

    /// All checks between the proof of the secret and the limits.
    #[inline(always)]
    pub(crate) fn check(&self, request: &Request<'_>, now: UnixMillis) -> Result<(), DenyReason> {
        self.check_each(request, now, |_, refusal| match refusal {
            None => Ok(()),
            Some(reason) => Err(reason),
        })
    }

    /// Each of these checks in order, for a decision and for its explanation. `found` gets what
    /// a check found, and an error of it ends them.
    #[inline(always)]
    pub(crate) fn check_each<E>(
        &self,
        request: &Request<'_>,
        now: UnixMillis,
        mut found: impl FnMut(CheckStep, Option<DenyReason>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut cause = |step, cause: Option<Cause>| found(step, cause.map(DenyReason::Cause));
        cause(CheckStep::Status, self.by_status())?;
        cause(CheckStep::Expiry, self.by_expiry(now))?;
        cause(CheckStep::Overlap, self.by_overlap(now))?;
        cause(CheckStep::Environment, self.by_environment(request))?;
        cause(CheckStep::Network, self.by_network(request))?;
        cause(CheckStep::Endpoint, self.by_endpoint(request))?;
        let missing = request
            .requirement
            .and_then(|asked| asked.check(self.permissions));
        found(CheckStep::Permission, missing.map(DenyReason::Missing))
    }

    #[inline(always)]
    const fn by_status(&self) -> Option<Cause> {
        match self.status {
            StatusKind::Active => None,
            StatusKind::Suspended => Some(Cause::Suspended),
            StatusKind::Revoked => Some(Cause::Revoked),
        }
    }

    #[inline(always)]
    fn by_expiry(&self, now: UnixMillis) -> Option<Cause> {
        let is_over = self.expires_at.is_some_and(|expiry| now >= expiry);
        is_over.then_some(Cause::Expired)
    }

    /// A replaced key whose overlap has no end has no overlap: it is refused.
    #[inline(always)]
    fn by_overlap(&self, now: UnixMillis) -> Option<Cause> {
        let is_over = self.overlap_until.is_some_and(|end| now >= end)
            || (self.replaced_by.is_some() && self.overlap_until.is_none());
        is_over.then_some(Cause::Replaced)
    }

    #[inline(always)]
    fn by_environment(&self, request: &Request<'_>) -> Option<Cause> {
        let asked = request.environment;
        let is_other = asked.is_some_and(|asked| self.environment != Some(asked));
        is_other.then_some(Cause::Environment)
    }

    #[inline(always)]
    fn by_network(&self, request: &Request<'_>) -> Option<Cause> {
        let networks = self.networks?;
        let is_within = |address| networks.contains(address);
        (!request.address.is_some_and(is_within)).then_some(Cause::Network)
    }

    #[inline(always)]
    fn by_endpoint(&self, request: &Request<'_>) -> Option<Cause> {
        match (request.endpoint, self.endpoints) {
            (Some((_, path)), _) if !request.path_profile.accepts(path) => {
                Some(Cause::PathNotCanonical)
            }
            (Some((method, path)), Some(rules)) if !rules.allows_canonical(method, path) => {
                Some(Cause::Endpoint)
            }
            (None, Some(_)) => Some(Cause::Endpoint),
            _ => None,
        }
    }
}
