//! What a lineage has spent: one rate limit and one count of uses, shared by all its
//! keys.

use crate::policy::rate_limit::RateLimit;
use crate::policy::rate_state::RateState;
use crate::record::key_record::KeyRecord;
use crate::time::UnixMillis;

/// What a lineage of keys has spent so far.
///
/// It is kept per [lineage](KeyRecord::lineage), so that a rotation gives no second
/// allowance. A store writes it back with compare-and-set: two decisions at once must not
/// spend the same use. If several processes share it, its rate state is read and written by
/// the store's clock, and moved to that of the caller: see
/// [`RateState::moved`](crate::RateState::moved).
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(1)?, &mut SysRng, now)?;
/// # let verifier = Verifier::new(format);
/// let mut usage = Usage::of(&issued.record); // or as the store has it, by the record's lineage
/// let mut verify = || {
///     let (key, record) = (issued.key.expose().as_bytes(), Some(&issued.record));
///     verifier.verify(key, record, &Request::new(), &mut usage, now)
/// };
/// assert!(verify().is_allow());
/// assert_eq!(verify().denial().unwrap().code(), DenialCode::UsesSpent);
/// assert_eq!(usage.remaining, Some(0));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The state of the rate limit.
    pub rate: RateState,
    /// Uses that are left. `None`: not counted.
    pub remaining: Option<u64>,
}

/// Why nothing was spent.
#[derive(Clone, Copy)]
pub(crate) enum Exhausted {
    RateLimit,
    Uses,
}

impl Usage {
    /// Creates a usage from a store's columns.
    #[must_use]
    pub const fn new(rate: RateState, remaining: Option<u64>) -> Self {
        Self { rate, remaining }
    }

    /// The usage of a key that has never been used.
    #[must_use]
    pub fn of(record: &KeyRecord) -> Self {
        Self::new(RateState::default(), record.remaining_uses)
    }

    /// Spends one request and one use, or neither. `counted` is the number of uses in the
    /// record; it applies if this usage has none yet, so that an empty usage does not
    /// make a counted key unlimited.
    #[inline]
    pub(crate) fn spend(
        &mut self,
        limit: Option<&RateLimit>,
        counted: Option<u64>,
        now: UnixMillis,
    ) -> Result<(), Exhausted> {
        self.spend_each(limit, counted, now, |which, is_exhausted| {
            if is_exhausted { Err(which) } else { Ok(()) }
        })
    }

    /// Each of these checks in order, for a decision and for its explanation. `found` gets
    /// whether there is nothing left, and an error of it ends them: then nothing is spent.
    #[inline(always)]
    pub(crate) fn spend_each<E>(
        &mut self,
        limit: Option<&RateLimit>,
        counted: Option<u64>,
        now: UnixMillis,
        mut found: impl FnMut(Exhausted, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let rate = match limit {
            None => Some(self.rate),
            Some(limit) => limit.admit(self.rate, now).ok(),
        };
        found(Exhausted::RateLimit, rate.is_none())?;
        let uses = self.remaining.or(counted);
        let left = uses.and_then(|uses| uses.checked_sub(1));
        found(Exhausted::Uses, uses.is_some() && left.is_none())?;
        if left.is_some() {
            self.remaining = left;
        }
        if let Some(rate) = rate {
            self.rate = rate;
        }
        Ok(())
    }
}
