//! The one order of checks on what a record allows.

use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::key::id::KeyId;
use crate::key::label::Environment;
use crate::policy::endpoint::{EndpointRules, Rules};
use crate::policy::network::Networks;
use crate::policy::path::is_canonical_path;
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
        let refuse = |cause| Err(DenyReason::Cause(cause));
        match self.status {
            StatusKind::Active => {}
            StatusKind::Suspended => return refuse(Cause::Suspended),
            StatusKind::Revoked => return refuse(Cause::Revoked),
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
            Some(missing) => Err(DenyReason::Missing(missing)),
        }
    }
}
