//! Records that are looked at and not admitted, as for a key's own state: what the keyring knows
//! counts for them too.

use core::hash::BuildHasher;

use super::Keyring;
use super::entry::Entry;
use super::invalidation;
use crate::record::key_record::KeyRecord;
use crate::time::UnixMillis;

impl<T: Clone> Keyring<T> {
    /// Whether a fetched record may be used without being [admitted](Self::admit_with): nothing
    /// was invalidated since the fetch began that concerns it, and no later version of it was
    /// written or cached here. If not, fetch again, as for another ticket.
    ///
    /// `as_of` is the count of invalidations from before the fetch, as
    /// [`Stats::invalidations`](super::Stats::invalidations) has it.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
    /// let keyring = Keyring::builder(Verifier::new(issuer.format().clone())).build()?;
    /// let as_of = keyring.stats().invalidations;
    /// assert!(keyring.is_current(&issued.record, as_of));
    /// // The key is suspended while its record is fetched.
    /// let suspended = suspend(&issued.record, now)?.record;
    /// keyring.invalidate_at(&suspended.id, suspended.version);
    /// assert!(!keyring.is_current(&issued.record, as_of), "it was read before");
    /// let as_of = keyring.stats().invalidations;
    /// assert!(!keyring.is_current(&issued.record, as_of), "a replica lags");
    /// assert!(keyring.is_current(&suspended, as_of));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn is_current(&self, record: &KeyRecord, as_of: u64) -> bool {
        let owner = record.owner.as_deref();
        let owner = owner.map(|owner| invalidation::owner_slot(self.hasher.hash_one(owner)));
        let entries = self.entries.pin();
        self.is_timely(as_of, record, entries.get(&record.id), owner)
    }

    /// The time to judge a record by that is not admitted: `now`, or a later one if a request was
    /// refused by this version because the key had ended, and the clock was set back since.
    #[must_use]
    pub fn judged_at(&self, record: &KeyRecord, now: UnixMillis) -> UnixMillis {
        let entries = self.entries.pin();
        let entry = entries.get(&record.id);
        let has_ended = entry
            .is_some_and(|entry: &Entry<T>| entry.is_ended() && entry.version == record.version);
        let end = record.ends_at().filter(|_| has_ended);
        self.not_before(now).max(end.unwrap_or(now))
    }
}
