//! The uses of keys, drained in bulk.

use std::vec::Vec;

use super::Keyring;
use super::entry::Entry;
use super::sync::atomic::Ordering;
use crate::key::id::KeyId;
use crate::policy::rate_state::RateState;
use crate::time::{Millis, UnixMillis};

/// How often a key was used since the last drain.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let keyring = Keyring::builder(Verifier::new(format)).build()?;
/// # let key = issued.key.expose().as_bytes();
/// # let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else { panic!() };
/// # let _ = keyring.admit(ticket, Some(&issued.record), now);
/// let _ = keyring.check(key, &Request::new(), now); // the second use
/// let used = keyring.drain_uses();
/// assert_eq!((used[0].key_id, used[0].count), (issued.record.id, 2));
/// assert_eq!(used[0].rate, None, "it has no rate limit");
/// assert!(keyring.drain_uses().is_empty(), "each use is returned once");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// The key.
    pub key_id: KeyId,
    /// Its lineage, under which uses are counted down.
    pub lineage: KeyId,
    /// When it was last used, to the second.
    pub last_used_at: Option<UnixMillis>,
    /// How often.
    pub count: u64,
    /// The state of its rate limit, which all keys of the lineage share; `None` if it has no
    /// limit, or if the limit is counted elsewhere. [`RateState::full_at`] returns whether it is worth writing: a limit that is full
    /// again within two seconds is as new before a program has started again.
    ///
    /// Of this and the state that the store has, the store keeps the greater one, unless that
    /// lies further ahead of the store's clock than [`reach`](Self::reach) and a minute: then
    /// it is of another limit or of a wrong clock, and is replaced.
    pub rate: Option<RateState>,
    /// How far ahead of the clock a state of its limit can lie; zero if it has none.
    pub reach: Millis,
}

impl<T> Keyring<T> {
    /// The uses since the last call, for a store to note in bulk.
    ///
    /// Each use is returned once, and a key that was evicted meanwhile may be named twice.
    /// Call it every few seconds, and once before stopping: every key that was used since the
    /// last call is named, with the state of its limit.
    #[must_use = "the uses are returned once"]
    pub fn drain_uses(&self) -> Vec<Use> {
        let before = self.drains.fetch_add(1, Ordering::Relaxed);
        let mut uses = self.evicted_uses.drain(&self.stripes);
        let entries = self.entries.pin();
        for id in self.slots.marked() {
            uses.extend(entries.get(&id).and_then(|entry| self.use_of(id, entry)));
        }
        for used in &mut uses {
            used.rate = used.rate.map(|state| self.state_out(state));
            if self.leases.is_some() {
                // It is of this process's part of the limit, whose own state is kept elsewhere.
                (used.rate, used.reach) = (None, Millis::ZERO);
            }
            let drains = before.saturating_add(1);
            self.lineages.returned(&used.lineage, used.count, drains);
        }
        uses
    }

    /// The uses of a cached key since they were last taken.
    fn use_of(&self, id: KeyId, entry: &Entry<T>) -> Option<Use> {
        let count = entry.count.take(&self.stripes);
        (count > 0).then(|| self.use_with_rate(id, entry, count))
    }

    /// A use with the state of its limit, also if the key's own meter was taken over by its
    /// lineage's: no other key of that may be used before the state has to be recorded.
    pub(super) fn use_with_rate(&self, id: KeyId, entry: &Entry<T>, count: u64) -> Use {
        let mut used = Use::of(id, entry, count);
        if used.rate.is_none()
            && entry.limit().is_some()
            && let Some(debt) = self.lineages.spent(&used.lineage)
        {
            (used.rate, used.reach) = (Some(debt.state), debt.limit.reach());
        }
        used
    }
}

impl Use {
    pub(super) fn of<T>(id: KeyId, entry: &Entry<T>, count: u64) -> Self {
        Self {
            key_id: id,
            lineage: entry.lineage(id),
            last_used_at: entry.last_used_at(),
            count,
            rate: entry.rate_now(),
            reach: entry.reach(),
        }
    }
}
