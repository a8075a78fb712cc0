//! Judging a request by a cached record, on which every check ends.

use super::Keyring;
use super::clock::Clock;
use super::entry::{Entry, Rare};
use super::meter::{Failed, Spent};
use super::uses::Raised;
use crate::decision::answer::Decision;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::decision::terms::Barred;
use crate::key::id::KeyId;
use crate::time::{Millis, UnixMillis};

/// Why an entry does not allow a request.
pub(super) enum Refused {
    Barred(Barred),
    Failed(Failed),
}

impl Refused {
    /// The denial; nothing where another entry has taken over.
    #[cold]
    pub(super) fn denial(self, id: KeyId, entry: &Entry, now: UnixMillis) -> Option<Denial> {
        match self {
            Self::Barred(barred) => Some(barred.of(id)),
            Self::Failed(Failed::NotSpent(refused, state)) => {
                Some(refused.of(id, entry.quota(state, now)))
            }
            Self::Failed(Failed::Closed) => None,
        }
    }
}

impl Keyring {
    /// Whether an entry may still be judged by.
    #[inline]
    pub(super) fn holds(&self, entry: &Entry, clock: Clock) -> bool {
        let left = entry.fresh_until.since(clock.not_before);
        // More is left than ever was where the clock stepped back since the fetch.
        entry.is_live()
            && left > Millis::ZERO
            && left <= self.ttl
            && self.invalidations.is_current(entry.owner, entry.as_of)
    }

    /// Decides by an entry, and notes the use that is made of the key; nothing where another
    /// entry has taken its meter over.
    #[inline(never)]
    pub(super) fn decide(
        &self,
        id: KeyId,
        entry: &Entry,
        request: &Request<'_>,
        clock: Clock,
    ) -> Option<Decision> {
        match self.judge(id, entry, entry.rare(), request, clock) {
            Ok(spent) => {
                let allowed = entry.allowed(id, entry.rare(), spent, clock.now);
                Some(Decision::Allow(allowed))
            }
            Err(refused) => refused.denial(id, entry, clock.now).map(Decision::Deny),
        }
    }

    /// Judges a request by an entry, of which `rare` is a part, and notes the use of the key.
    #[inline(always)]
    pub(super) fn judge(
        &self,
        id: KeyId,
        entry: &Entry,
        rare: Option<&Rare>,
        request: &Request<'_>,
        clock: Clock,
    ) -> Result<Spent, Refused> {
        let terms = entry.terms(id, rare);
        terms
            .permit(request, clock.not_before)
            .map_err(Refused::Barred)?;
        let spent = entry.spend(rare, clock).map_err(Refused::Failed)?;
        self.count(id, entry, clock.now);
        Ok(spent)
    }

    /// Notes a use of a key.
    #[inline(always)]
    fn count(&self, id: KeyId, entry: &Entry, now: UnixMillis) {
        entry.note_use(now);
        match entry.count.raise(&self.stripes) {
            Raised::Further => {}
            Raised::FromZero => self.ring.mark(entry.place),
            Raised::Closed => self.count_elsewhere(id, entry, now),
        }
    }
}
