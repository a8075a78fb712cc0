//! What a lineage has spent, as the next decision about one of its keys would see it.

use super::Keyring;
use super::entry::Entry;
use super::shared_meter::SharedMeter;
use super::sync::atomic::Ordering;
use crate::policy::rate_limit::RateLimit;
use crate::policy::rate_state::RateState;
use crate::record::key_record::KeyRecord;
use crate::record::usage::Usage;
use crate::time::UnixMillis;

/// A state by the caller's clock, and whether it was spent by the record's limit.
type Counted = (bool, RateState);

impl<T> Keyring<T> {
    /// What a key's lineage has spent, as the next decision about this record would see it:
    /// what the store has, or what this keyring has counted if that is more. Nothing is spent.
    ///
    /// A store has what was [drained](Self::drain_uses) and written, and so may be behind.
    /// `stored` is what it has, with a rate state by the clock that `now` is read from. A state
    /// that another limit left counts as one full burst of the record's limit at most, as it
    /// does for a request after a limit was changed.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let format = KeyFormat::structured("acme")?;
    /// # let daily = RateLimit::new(1, Millis::from_days(1))?;
    /// # let request = IssueRequest::new("Acme")?.rate_limit(daily);
    /// # let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
    /// # let (mut record, text) = (issued.record, issued.key.expose().as_bytes());
    /// let keyring = Keyring::builder(Verifier::new(format)).build()?;
    /// let stored = Usage::of(&record); // nothing was written yet
    /// assert_eq!(keyring.usage(&record, stored, now), stored);
    /// if let Check::NeedsRecord(ticket) = keyring.check(text, &Request::new(), now) {
    ///     let _ = keyring.admit(ticket, Some(&record), now);
    /// }
    /// let spent = keyring.usage(&record, stored, now);
    /// assert!(daily.admit(spent.rate, now).is_err(), "once a day");
    ///
    /// // With another limit, the next request does not wait for a day.
    /// let often = RateLimit::new(10, Millis::from_secs(1))?;
    /// record.rate_limit = Some(often);
    /// let spent = keyring.usage(&record, stored, now);
    /// let refused = often.admit(spent.rate, now).unwrap_err();
    /// assert_eq!(refused.retry_after(), Some(Millis::new(100)));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn usage(&self, record: &KeyRecord, stored: Usage, now: UnixMillis) -> Usage {
        let drains = self.drains.load(Ordering::Relaxed);
        let known = stored.remaining.or(record.remaining_uses);
        let meter = self.lineages.meter(&record.lineage);
        let remaining = meter.as_ref().map_or(known, |meter| {
            let uses = meter.uses();
            uses.left_after(record.id, record.version, known, drains)
        });
        let rate = match &record.rate_limit {
            Some(limit) => self.rate(record, limit, meter.as_deref(), stored.rate, now),
            None => stored.rate,
        };
        Usage::new(rate, remaining)
    }

    /// The state of a limit that is counted elsewhere, as it was known there last.
    fn rate_elsewhere(
        &self,
        record: &KeyRecord,
        limit: &RateLimit,
        stored: RateState,
        now: UnixMillis,
    ) -> RateState {
        let entries = self.entries.pin();
        let entry = entries.get(&record.id);
        let entry = entry.filter(|entry| entry.rate_limit() == Some(limit));
        let known = entry.and_then(Entry::lease).map(|lease| {
            let state = limit.give_back(lease.state(), lease.left());
            limit.held(self.state_out(state), now)
        });
        known.unwrap_or_default().max(limit.clamped(stored, now))
    }

    /// As an admission of the record would merge them, without taking any of them over.
    fn rate(
        &self,
        record: &KeyRecord,
        limit: &RateLimit,
        meter: Option<&SharedMeter>,
        stored: RateState,
        now: UnixMillis,
    ) -> RateState {
        if self.leases.is_some() {
            return self.rate_elsewhere(record, limit, stored, now);
        }
        let entries = self.entries.pin();
        let own = |id| match entries.get(id) {
            Some(entry) => entry.own_rate(),
            None => self
                .lineages
                .debt(id)
                .map(|debt| (Some(debt.limit), debt.state)),
        };
        let counted = |(by, state): (Option<_>, RateState)| -> Counted {
            (by.as_deref() == Some(limit), self.state_out(state))
        };
        let first = (record.lineage != record.id).then(|| own(&record.lineage));
        let meter = meter.and_then(|meter| meter.state_of(limit));
        let found = [
            own(&record.id).map(counted),
            first.flatten().map(counted),
            meter.map(|(is_same, state)| (is_same, self.state_out(state))),
        ];
        let mut spent = RateState::default();
        for (is_same, state) in found.into_iter().flatten() {
            spent = if !is_same {
                spent.max(limit.clamped(state, now))
            } else if spent == RateState::default() || state == RateState::default() {
                spent.max(state)
            } else {
                limit.combine(spent, state, now)
            };
        }
        // What this keyring has counted itself it need not believe a store that strays.
        let is_known = entries.get(&record.id).is_some() || spent != RateState::default();
        let strays = limit.held(stored, now) != stored;
        let stored = if is_known && strays {
            RateState::default()
        } else {
            limit.clamped(stored, now)
        };
        limit.held(spent, now).max(stored)
    }
}
