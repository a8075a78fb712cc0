//! Evaluating a request by a cached record, on which every check ends.

use super::clock::Clock;
use super::count::Raised;
use super::entry::{Entry, Extras};
use super::meter::{SpendError, Spent};
use super::sync::atomic::Ordering;
use super::{Check, Keyring};
use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::decision::terms::DenyReason;
use crate::key::id::KeyId;
use crate::record::usage::Exhausted;
use crate::time::{Millis, UnixMillis};

/// Why an entry does not allow a request.
pub(super) enum EntryDenial {
    Terms(DenyReason),
    Spending(SpendError),
}

impl EntryDenial {
    /// The denial; `None` if another entry has taken over.
    #[cold]
    pub(super) fn denial<T>(self, id: KeyId, entry: &Entry<T>, clock: Clock) -> Option<Denial> {
        match self {
            Self::Terms(reason) => Some(reason.denial(id)),
            Self::Spending(SpendError::Exhausted(exhausted, state)) => {
                Some(exhausted.denial(id, entry.quota(state, clock)))
            }
            Self::Spending(SpendError::NoTokens | SpendError::Closed) => None,
        }
    }
}

impl<T> Keyring<T> {
    /// Whether an entry may still be used.
    #[inline]
    pub(super) fn holds(&self, entry: &Entry<T>, clock: Clock) -> bool {
        let left = entry.fresh_until.since(clock.not_before);
        // If the clock stepped back since the fetch, more is left than ever was.
        entry.is_live()
            && left > Millis::ZERO
            && left <= self.ttl
            && self.invalidations.is_current(entry.owner, entry.as_of)
    }

    /// Decides by an entry, and notes the use that is made of the key; `None` if another
    /// entry has taken its meter over, or if only a token is missing.
    #[inline(never)]
    pub(super) fn decide<'a, V>(
        &self,
        id: KeyId,
        entry: &Entry<T>,
        request: &Request<'_>,
        clock: Clock,
        view: impl FnOnce(&T) -> V,
    ) -> Option<Check<'a, V>> {
        match self.evaluate(id, entry, entry.extras(), request, clock) {
            Ok(spent) => {
                let allowed = entry.allowed(id, entry.extras(), spent, clock);
                let value = view(entry.value());
                Some(Check::Decided(Decision::Allow(allowed), Some(value)))
            }
            Err(denied) => {
                self.note_remembered(&denied, entry);
                let denial = denied.denial(id, entry, clock)?;
                Some(Check::Decided(Decision::Deny(denial), None))
            }
        }
    }

    /// Evaluates a request by an entry, of which `extras` is a part, and notes the use of the key.
    #[inline(always)]
    pub(super) fn evaluate(
        &self,
        id: KeyId,
        entry: &Entry<T>,
        extras: Option<&Extras>,
        request: &Request<'_>,
        clock: Clock,
    ) -> Result<Spent, EntryDenial> {
        self.judge(id, entry, extras, request, clock)?;
        let spent = entry.spend(extras, clock).map_err(EntryDenial::Spending)?;
        self.count(id, entry, clock.now);
        Ok(spent)
    }

    /// Judges a request by what an entry allows, before anything is spent.
    #[inline(always)]
    pub(super) fn judge(
        &self,
        id: KeyId,
        entry: &Entry<T>,
        extras: Option<&Extras>,
        request: &Request<'_>,
        clock: Clock,
    ) -> Result<(), EntryDenial> {
        let terms = entry.terms(id, extras);
        let mut at = clock.not_before;
        if entry.is_ended() {
            at = at.max(terms.ends_at().unwrap_or(at));
        }
        if let Err(reason) = terms.check(request, at) {
            self.note_end(&reason, entry, clock);
            return Err(EntryDenial::Terms(reason));
        }
        Ok(())
    }

    /// Counts a refusal that was remembered.
    #[cold]
    fn note_remembered(&self, denied: &EntryDenial, entry: &Entry<T>) {
        let is_limit = matches!(
            denied,
            EntryDenial::Spending(SpendError::Exhausted(Exhausted::RateLimit, _))
        );
        if is_limit && entry.lease().is_some() {
            let remembered = &self.counters.refused_from_memory;
            remembered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that a key was seen to have ended, if the reading of the clock can be believed.
    #[cold]
    fn note_end(&self, reason: &DenyReason, entry: &Entry<T>, clock: Clock) {
        if matches!(reason, DenyReason::Cause(Cause::Expired | Cause::Replaced))
            && !entry.is_ended()
            && let Some(monotonic) = &self.monotonic
            && monotonic.confirms(clock.now)
        {
            entry.mark_ended();
        }
    }

    /// Notes a use of a key.
    #[inline(always)]
    pub(super) fn count(&self, id: KeyId, entry: &Entry<T>, now: UnixMillis) {
        entry.note_use(now);
        match entry.count.raise(&self.stripes) {
            Raised::Further => {}
            Raised::FromZero => self.slots.mark(entry.slot),
            Raised::Closed => self.count_elsewhere(id, entry, now),
        }
    }
}
