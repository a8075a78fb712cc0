//! What each check of a decision compares, without the key's secret.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;

use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::check_step::CheckStep;
use crate::decision::compared::Compared;
use crate::decision::denial::Denial;
use crate::decision::denial_code::DenialCode;
use crate::decision::request::Request;
use crate::decision::terms::Terms;
use crate::decision::verifier::Verifier;
use crate::decision::verify::decide;
use crate::record::key_record::KeyRecord;
use crate::record::usage::{Exhausted, Usage};
use crate::time::UnixMillis;

/// The decision that a request with this key would get, and what each check compares.
///
/// It has every check, also those after the first one that refuses: a decision ends there, but
/// who corrects a key or a request wants to know the rest too.
///
/// An explanation tells more than a denial does. It is for people who may read the record, and
/// not for the sender of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an explanation does nothing by itself"]
#[non_exhaustive]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// Each check, in order.
    pub checks: Vec<ExplainedCheck>,
}

/// A check, and what it compared.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(1)?, &mut SysRng, now)?;
/// # let verifier = Verifier::new(format);
/// let spent = Usage::new(RateState::default(), Some(0));
/// let explained = explain(&verifier, &issued.record, &Request::new(), &spent, now);
/// let uses = explained.refused_by().expect("no use is left");
/// assert_eq!((uses.step, uses.refusal), (CheckStep::Uses, Some(DenialCode::UsesSpent)));
/// assert_eq!(uses.compared, "no use is left");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExplainedCheck {
    /// Which one it is.
    pub step: CheckStep,
    /// What it refuses the request with; `None` if the request passes this check.
    pub refusal: Option<DenialCode>,
    /// The values of both sides, as a sentence for people. It has no part of a key or a digest.
    pub compared: String,
}

/// Explains the decision that a request with this key would get, without the key's text.
///
/// The secret is taken as verified. All other checks are those of [`verify`](crate::verify()), by
/// the same code and in the same order. Nothing is spent. As there, a rate state that the
/// store's clock keeps is moved to the caller's clock first.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let wanted = IssueRequest::new("Acme")?.permissions(["read"])?.endpoints(["/api/data/*"])?;
/// # let issued = Issuer::new(format.clone()).issue(&wanted, &mut SysRng, now)?;
/// # let (verifier, record) = (Verifier::new(format), issued.record);
/// let write = Requirement::parse("write")?;
/// let request = Request::new().requires(&write).endpoint("POST", "/api/data/7");
/// let explained = explain(&verifier, &record, &request, &Usage::of(&record), now);
/// assert_eq!(explained.decision.denial().unwrap().code(), DenialCode::PermissionMissing);
/// let refused = explained.refused_by().unwrap();
/// assert_eq!(refused.step, CheckStep::Permission);
/// assert_eq!(refused.compared, "the request needs \"write\"; the key has: read; missing: write");
/// # Ok::<(), Error>(())
/// ```
pub fn explain(
    verifier: &Verifier,
    record: &KeyRecord,
    request: &Request<'_>,
    usage: &Usage,
    now: UnixMillis,
) -> Explanation {
    let compared = Compared::new(verifier, record, request, usage, now);
    let mut checks = Vec::new();
    let mut note = |step, cause: Option<Cause>| {
        checks.push(ExplainedCheck {
            step,
            refusal: cause.map(Cause::code),
            compared: compared.sentence(step, cause),
        });
        Ok::<(), Infallible>(())
    };
    let is_known = verifier.peppers().knows(record.digest.kind());
    let unproved = (!is_known).then_some(Cause::PepperUnavailable);
    let terms = Terms::of(record);
    let _ = note(CheckStep::Secret, unproved);
    let Ok(()) = terms.check_each(request, now, |step, refusal| {
        note(step, refusal.map(|reason| reason.cause()))
    });
    let (limit, counted) = (terms.rate_limit, record.remaining_uses);
    let Ok(()) = { *usage }.spend_each(limit, counted, now, |which, is_exhausted| {
        let (step, cause) = match which {
            Exhausted::RateLimit => (CheckStep::RateLimit, Cause::RateLimit),
            Exhausted::Uses => (CheckStep::Uses, Cause::UsesSpent),
        };
        note(step, is_exhausted.then_some(cause))
    });
    let decision = match unproved {
        Some(cause) => Decision::Deny(Denial::new(cause)),
        None => decide(verifier, record, request, &mut { *usage }, now),
    };
    Explanation { decision, checks }
}

impl Explanation {
    /// The check that refuses the request: the first one that does. `None` if it is allowed.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let format = KeyFormat::structured("acme")?;
    /// # let issuer = Issuer::new(format.clone());
    /// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
    /// # let (verifier, usage) = (Verifier::new(format), Usage::default());
    /// let explained = explain(&verifier, &issued.record, &Request::new(), &usage, now);
    /// assert!(explained.decision.is_allow() && explained.refused_by().is_none());
    /// let suspended = suspend(&issued.record, now)?.record;
    /// let explained = explain(&verifier, &suspended, &Request::new(), &usage, now);
    /// assert_eq!(explained.refused_by().unwrap().compared, "the key is suspended");
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn refused_by(&self) -> Option<&ExplainedCheck> {
        self.checks.iter().find(|check| check.refusal.is_some())
    }
}
