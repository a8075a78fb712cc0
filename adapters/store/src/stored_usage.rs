//! What a lineage has spent, as a store reads and writes it: by the store's own clock.

use keystile::{KeyId, KeyRecord, Millis, RateLimit, RateState, UnixMillis, Usage};

/// What a lineage has spent, and the store's clock when it was read.
///
/// The state of a rate limit is an instant, and several processes share it. If each read it by
/// its own clock, one whose clock is ahead would make all others wait, and one whose clock is
/// behind would be given too little. So a store with a clock of its own keeps the state in the
/// time of that clock, and a decision converts it.
///
/// ```
/// use keystile::{Millis, RateLimit, RateState, UnixMillis, Usage};
/// use keystile_store::StoredUsage;
///
/// let limit = RateLimit::new(2, Millis::from_secs(1))?;
/// let (server, here) = (UnixMillis::new(1_790_000_000_000)?, UnixMillis::new(1_790_000_180_000)?);
/// let stored = StoredUsage::new(Usage::default(), Some(server));
///
/// // This process is three minutes ahead, and decides by its own clock.
/// let mut usage = stored.seen_at(Some(&limit), here);
/// usage.rate = limit.admit(usage.rate, here).unwrap();
/// // What it writes is in the server's time: half a second ahead of it.
/// let written = stored.written_at(Some(&limit), usage, here);
/// let by_the_server = limit.admit(RateState::default(), server).unwrap();
/// assert_eq!(written.rate, by_the_server);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredUsage {
    /// What was spent, as it is stored.
    pub usage: Usage,
    /// The store's clock when it was read. `None`: the store has no clock of its own, because
    /// all processes that use it read the same clock.
    pub clock: Option<UnixMillis>,
}

/// The state of a rate limit that a process has counted, for [`Store::note_rates`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile::{RateLimit, RateState};
/// use keystile_store::{save_issued, MemoryStore, RateNote, Store};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let limit = RateLimit::new(10, Millis::from_hours(1))?;
/// let once = limit.admit(RateState::default(), now).unwrap();
/// let twice = limit.admit(once, now).unwrap();
/// let lineage = issued.record.lineage;
/// let reach = Millis::from_hours(1); // how far ahead this limit can move a state
/// store.note_rates(&[RateNote::new(lineage, twice, reach)], now).await?;
/// // Another process has counted less: nothing that was spent is given back.
/// store.note_rates(&[RateNote::new(lineage, once, reach)], now).await?;
/// assert_eq!(store.usage(&lineage).await?.usage.rate, twice);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// [`Store::note_rates`]: crate::Store::note_rates
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateNote {
    /// The lineage.
    pub lineage: KeyId,
    /// The state, in the time of the process.
    pub state: RateState,
    /// How far ahead of the clock a state may be: one that is further ahead, counted or stored,
    /// is brought back to that. It is at least how far the limits of all live keys of the
    /// lineage can move a state; otherwise what the slowest of them has counted is lost.
    pub reach: Millis,
}

impl StoredUsage {
    /// A usage from a store's columns, and the store's clock if it has one.
    #[must_use]
    pub const fn new(usage: Usage, clock: Option<UnixMillis>) -> Self {
        Self { usage, clock }
    }

    /// The usage for a decision by a clock that shows `now`.
    ///
    /// A state that lies further ahead of the store's clock than `limit` can move it is from a
    /// wrong reading of the clock, or from a limit that has changed. It counts as one full
    /// burst that is spent, and requests become free from there. If the store has no clock of
    /// its own, a minute is tolerated, as in [`RateLimit::held`]: another process may have read
    /// the common clock later.
    #[must_use]
    pub fn seen_at(&self, limit: Option<&RateLimit>, now: UnixMillis) -> Usage {
        let stored = self.usage.rate;
        let rate = match (limit, self.clock) {
            (None, _) => stored,
            (Some(limit), None) => limit.held(stored, now),
            (Some(limit), Some(clock)) => limit.clamped(stored, clock).moved(clock, now),
        };
        Usage::new(rate, self.usage.remaining)
    }

    /// Whether [`seen_at`](Self::seen_at) returns an earlier state than the stored one.
    pub(crate) fn is_held(&self, limit: &RateLimit, now: UnixMillis) -> bool {
        let stored = self.usage.rate;
        match self.clock {
            None => limit.held(stored, now) != stored,
            Some(clock) => limit.clamped(stored, clock) != stored,
        }
    }

    /// The usage for the store, after a decision by a clock that shows `now` on what
    /// [`seen_at`](Self::seen_at) returned for the same limit and instant.
    #[must_use]
    pub fn written_at(&self, limit: Option<&RateLimit>, after: Usage, now: UnixMillis) -> Usage {
        let rate = match (limit, self.clock) {
            (Some(_), Some(clock)) => after.rate.moved(now, clock),
            _ => after.rate,
        };
        Usage::new(rate, after.remaining)
    }
}

impl RateNote {
    /// The state that a process has counted for a lineage.
    #[must_use]
    pub const fn new(lineage: KeyId, state: RateState, reach: Millis) -> Self {
        Self {
            lineage,
            state,
            reach,
        }
    }

    /// The same, held to its own reach by a clock that shows `now`, and with one that brings
    /// nothing back in the store: a process does not know which limits the other keys of the
    /// lineage have.
    #[cfg(feature = "authenticator")]
    pub(crate) fn that_only_raises(&self, now: UnixMillis) -> Self {
        let full = start(now).saturating_add(self.burst());
        let state = RateState::from_bits(self.state.to_bits().min(full));
        Self::new(self.lineage, state, REACH_MAX)
    }

    /// The state that a store without a clock of its own keeps: the later one of what was
    /// counted and what it has, held as [`RateLimit::held`] does.
    #[must_use]
    pub fn merged(&self, stored: RateState, now: UnixMillis) -> RateState {
        let full = start(now).saturating_add(self.burst());
        let held = if stored.to_bits() > full.saturating_add(SLACK) {
            full
        } else {
            stored.to_bits()
        };
        RateState::from_bits(held.max(self.state.to_bits().min(full)))
    }

    /// How far the state is ahead of the process's clock, in the units of a state; `None` if
    /// it is not, and so is that of an unused limit.
    #[cfg(feature = "postgres")]
    pub(crate) fn ahead(&self, now: UnixMillis) -> Option<u64> {
        let ahead = self.state.to_bits().checked_sub(start(now))?;
        Some(ahead.min(self.burst()))
    }

    /// How far the limit can move a state ahead of the clock, in the units of a state.
    pub(crate) const fn burst(&self) -> u64 {
        units(self.reach)
    }
}

/// A state that is neither ahead of the instant nor before it.
fn start(now: UnixMillis) -> u64 {
    now.get().saturating_mul(1 << FRACTION_BITS)
}

pub(crate) const fn units(span: Millis) -> u64 {
    span.get().saturating_mul(1 << FRACTION_BITS)
}

/// The bits of a state below those of its milliseconds, as CHANGELOG.md documents it.
const FRACTION_BITS: u32 = 20;
/// The longest reach of any limit: ten years.
#[cfg(feature = "authenticator")]
const REACH_MAX: Millis = Millis::from_days(3_653);
/// How much further ahead than a full burst a state may be before it is held, in the units of a
/// state: the minute of [`RateLimit::held`].
const SLACK: u64 = units(Millis::from_secs(60));

/// Whether a decision on this record spends anything.
pub(crate) const fn is_counted(record: &KeyRecord) -> bool {
    record.rate_limit.is_some() || record.remaining_uses.is_some()
}
