//! What a service issues its keys with: their format and the peppers of their digests.

use rand_core::TryCryptoRng;

use crate::error::Error;
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::lifecycle::delegate::delegate;
use crate::lifecycle::issue::{Issued, issue};
use crate::lifecycle::issue_request::IssueRequest;
use crate::lifecycle::lifetime::LifetimePolicy;
use crate::lifecycle::rotate::{Rotated, rotate};
use crate::lifecycle::rotation_policy::RotationPolicy;
use crate::record::key_record::KeyRecord;
use crate::time::UnixMillis;

/// Makes keys of one format, with digests under one ring of peppers.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// let issued = issuer.issue(&IssueRequest::new("Acme Ltd")?, &mut SysRng, now)?;
/// let policy = RotationPolicy::default();
/// let rotated = issuer.rotate(&issued.record, &[], &policy, &mut SysRng, now)?;
/// assert_eq!(rotated.successor.lineage, issued.record.id);
///
/// let any = Issuer::new(KeyFormat::any_structured()); // it can read keys, and not write one
/// let refused = any.issue(&IssueRequest::new("Acme Ltd")?, &mut SysRng, now);
/// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Format);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Issuer {
    format: KeyFormat,
    peppers: PepperRing,
    lifetimes: Option<LifetimePolicy>,
}

impl Issuer {
    /// Makes keys of this format, whose digests have no pepper.
    #[must_use]
    pub const fn new(format: KeyFormat) -> Self {
        Self {
            format,
            peppers: PepperRing::none(),
            lifetimes: None,
        }
    }

    /// The same issuer with digests under the current one of these peppers.
    #[must_use]
    pub fn with_peppers(self, peppers: PepperRing) -> Self {
        Self { peppers, ..self }
    }

    /// The same issuer, whose keys live no longer than this policy allows.
    #[must_use]
    pub fn with_lifetimes(self, lifetimes: LifetimePolicy) -> Self {
        Self {
            lifetimes: Some(lifetimes),
            ..self
        }
    }

    /// The format of its keys.
    #[must_use]
    pub const fn format(&self) -> &KeyFormat {
        &self.format
    }

    /// The peppers of their digests.
    #[must_use]
    pub const fn peppers(&self) -> &PepperRing {
        &self.peppers
    }

    /// How long its keys may live, if that was set.
    #[must_use]
    pub const fn lifetimes(&self) -> Option<&LifetimePolicy> {
        self.lifetimes.as_ref()
    }

    /// Issues a key.
    ///
    /// # Errors
    /// As [`issue`](issue()), and as [`IssueRequest::within`].
    pub fn issue<R: TryCryptoRng + ?Sized>(
        &self,
        request: &IssueRequest,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Issued, Error> {
        let request = self.held(request)?;
        issue(&self.format, &self.peppers, &request, rng, now)
    }

    /// Issues a key that may do no more than `source`.
    ///
    /// # Errors
    /// As [`delegate`](delegate()), and as [`IssueRequest::within`].
    pub fn delegate<R: TryCryptoRng + ?Sized>(
        &self,
        source: &KeyRecord,
        request: &IssueRequest,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Issued, Error> {
        let request = self.held(request)?;
        delegate(source, &self.format, &self.peppers, &request, rng, now)
    }

    /// Gives `record` a successor; `siblings` are the other records of its lineage.
    ///
    /// # Errors
    /// As [`rotate`](rotate()), and as [`RotationPolicy::within`].
    pub fn rotate<R: TryCryptoRng + ?Sized>(
        &self,
        record: &KeyRecord,
        siblings: &[KeyRecord],
        policy: &RotationPolicy,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Rotated, Error> {
        let (format, peppers) = (&self.format, &self.peppers);
        let mut policy = policy.clone();
        if let Some(lifetimes) = &self.lifetimes {
            policy = policy.within(lifetimes)?;
        }
        rotate(record, siblings, &policy, format, peppers, rng, now)
    }

    fn held(&self, request: &IssueRequest) -> Result<IssueRequest, Error> {
        let request = request.clone();
        match &self.lifetimes {
            Some(lifetimes) => request.within(lifetimes),
            None => Ok(request),
        }
    }
}
