//! The one decision function: every caller uses it, and it checks in one order.

use crate::decision::allowed::{Allowed, Notice};
use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::decision::terms::Terms;
use crate::decision::verifier::Verifier;
use crate::key::id::KeyId;
use crate::key::presented::PresentedKey;
use crate::policy::rate_limit::Quota;
use crate::record::key_record::KeyRecord;
use crate::record::usage::{Exhausted, Usage};
use crate::time::UnixMillis;

/// Decides about a presented key and the record that a lookup gave for it.
///
/// The order is fixed: digest (a dummy one if there is no record) → status → expiry →
/// overlap → environment → network → endpoint → permission → rate limit → remaining
/// uses. No key state is disclosed before the secret is verified, and nothing is spent
/// unless everything before it passed. A key is valid while `now < expires_at`.
///
/// `usage` changes only if the decision is [`Decision::Allow`]; the store then writes it
/// back. Its rate state is taken as it is, however far ahead of `now` it lies, since only who
/// has the clock that it is kept by can tell a wrong one: such a caller passes the state
/// through [`RateLimit::held`](crate::RateLimit::held) first, and writes it back even if the
/// request is then refused.
///
/// [`Verifier::verify`] reads the credential and does this in one call.
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
    // store-forwarding stall: build in place, without a `Result` (see ARCHITECTURE.md)
    match verifier.prove(key, record) {
        Ok(record) => decide(verifier, record, request, usage, now),
        Err(cause) => Decision::Deny(Denial::new(cause)),
    }
}

/// Decides by the record of a key whose secret was verified.
#[inline(always)]
pub(crate) fn decide(
    verifier: &Verifier,
    record: &KeyRecord,
    request: &Request<'_>,
    usage: &mut Usage,
    now: UnixMillis,
) -> Decision {
    let terms = Terms::of(record);
    if let Err(reason) = terms.check(request, now) {
        return Decision::Deny(reason.denial(terms.id));
    }
    let spent = usage.spend(terms.rate_limit, record.remaining_uses, now);
    let quota = terms.rate_limit.map(|limit| limit.quota(usage.rate, now));
    match spent {
        Err(exhausted) => Decision::Deny(exhausted.denial(terms.id, quota)),
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

impl Verifier {
    /// Reads a presented credential and decides about it: [`parse`](Self::parse), then
    /// [`verify`](verify()).
    ///
    /// `record` is the one that a store has for the key's [`lookup`](Self::lookup).
    ///
    /// ```
    /// # use keystile::*;
    /// # let verifier = Verifier::new(KeyFormat::structured("acme")?);
    /// # let (request, mut usage) = (Request::new(), Usage::default());
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// let decision = verifier.verify(b"acme_live_typo", None, &request, &mut usage, now);
    /// assert_eq!(decision.denial().map(Denial::code), Some(DenialCode::InvalidKey));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn verify(
        &self,
        credential: &[u8],
        record: Option<&KeyRecord>,
        request: &Request<'_>,
        usage: &mut Usage,
        now: UnixMillis,
    ) -> Decision {
        match self.parse(credential) {
            Ok(key) => verify(self, &key, record, request, usage, now),
            Err(denial) => Decision::Deny(denial),
        }
    }
}

impl Exhausted {
    /// The denial, with what is left of the limit.
    pub(crate) fn denial(self, key_id: KeyId, quota: Option<Quota>) -> Denial {
        match (self, quota) {
            (Self::RateLimit, Some(quota)) => Denial::limited(quota, key_id),
            (Self::RateLimit, None) => Denial::of(Cause::RateLimit, key_id),
            (Self::Uses, _) => Denial::of(Cause::UsesSpent, key_id),
        }
    }
}
