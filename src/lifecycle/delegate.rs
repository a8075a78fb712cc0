//! A key that is derived from another, and never may do more than its source.

use rand_core::TryCryptoRng;

use crate::error::{Error, ErrorKind};
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::lifecycle::issue::{Issued, issue};
use crate::lifecycle::issue_request::IssueRequest;
use crate::lifecycle::status::state;
use crate::record::derived_from::DerivedFrom;
use crate::record::key_record::KeyRecord;
use crate::time::UnixMillis;

/// Issues a key that is derived from `source`, and may never do more than it.
///
/// Settings that the request leaves out are those of the source, except for permissions: a
/// derived key has only those that were requested. Owner and environment are the source's.
///
/// The uses that it gets are to be taken off the source's, which belong to its lineage and are
/// stored apart from its record: whoever stores the key does both in one step.
///
/// # Errors
/// [`ErrorKind::Exceeds`] if permissions, endpoints, networks, rate limit, uses or
/// lifetime exceed the source's, or if another owner or environment is requested.
/// [`ErrorKind::State`] if the source is not valid now. Otherwise as [`issue`].
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let none = PepperRing::none();
/// let request = IssueRequest::new("Acme")?.permissions(["invoices:*"])?;
/// let source = issue(&format, &none, &request, &mut SysRng, now)?.record;
/// let less = IssueRequest::new("Acme's shop")?.permissions(["invoices:read"])?;
/// assert!(delegate(&source, &format, &none, &less, &mut SysRng, now).is_ok());
/// let more = IssueRequest::new("Acme's shop")?.permissions(["*"])?;
/// let refused = delegate(&source, &format, &none, &more, &mut SysRng, now).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Exceeds);
/// # Ok::<(), Error>(())
/// ```
pub fn delegate<R: TryCryptoRng + ?Sized>(
    source: &KeyRecord,
    format: &KeyFormat,
    peppers: &PepperRing,
    request: &IssueRequest,
    rng: &mut R,
    now: UnixMillis,
) -> Result<Issued, Error> {
    if !source.is_live(now) {
        return Err(state("a key must be live to derive another from it"));
    }
    let mut request = request.clone();
    // A source without an owner or environment cannot give one, just as it cannot give another.
    let other_owner = request.owner.is_some() && request.owner != source.owner;
    let other_environment =
        request.environment.is_some() && request.environment != source.environment;
    if other_owner || other_environment {
        let field = if other_owner { "owner" } else { "environment" };
        return Err(beyond().in_field(field));
    }
    request.owner.clone_from(&source.owner);
    request.environment = source.environment;
    let lifetime_is_open = request.lifetime.is_none();

    let mut issued = issue(format, peppers, &request, rng, now)?;
    let derived = &mut issued.record;
    fill(&mut derived.allowed_endpoints, &source.allowed_endpoints);
    fill(&mut derived.allowed_networks, &source.allowed_networks);
    fill(&mut derived.rate_limit, &source.rate_limit);
    fill(&mut derived.remaining_uses, &source.remaining_uses);
    if lifetime_is_open
        && let Some(end) = source.ends_at()
        && derived.expires_at.is_none_or(|own| end < own)
    {
        derived.expires_at = Some(end);
        derived.lifetime = Some(end.since(now));
    }
    derived.derived_from = Some(DerivedFrom::key(source));
    if derived.is_within(source) {
        Ok(issued)
    } else {
        Err(beyond())
    }
}

fn fill<T: Clone>(open: &mut Option<T>, source: &Option<T>) {
    if open.is_none() {
        open.clone_from(source);
    }
}

const fn beyond() -> Error {
    Error::new(
        ErrorKind::Exceeds,
        "a derived key must not exceed the key that it derives from",
    )
}
