//! Last uses and the states of rate limits, recorded in the store while the process runs.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use keystile::{KeyId, Millis, UnixMillis, Use};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::error::StoreError;
use crate::store::Store;
use crate::stored_usage::RateNote;

/// Last uses or states that are recorded in one step.
const BATCH: usize = 1_000;
/// How often the states of rate limits are recorded, unless last uses are recorded more often.
const RATES_INTERVAL: Duration = Duration::from_secs(1);
/// The state of a limit that is free again within this time is recorded only at the end.
const FREE_SOON: Millis = Millis::from_secs(2);

/// Last uses and rate states that were drained from the keyring and wait to be recorded.
///
/// They wait until the store has recorded them. Only the latest use of a key and the latest
/// state of a lineage are kept, and the number of each is limited: what is missing is recorded
/// when the key is used again.
pub(super) struct PendingUses {
    waiting: Mutex<Waiting>,
    count: AtomicUsize,
    dropped: AtomicU64,
    most: usize,
}

#[derive(Default)]
struct Waiting {
    uses: HashMap<KeyId, UnixMillis>,
    rates: HashMap<KeyId, RateNote>,
}

/// What a flush records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// The limits that are not free again soon: a restart takes longer than that.
    Rates,
    /// These, and the last uses.
    All,
    /// All last uses, and all limits that are not free.
    Rest,
}

impl PendingUses {
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            most,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn add(&self, waiting: &mut Waiting, used: &Use) {
        let (uses, rates) = (&mut waiting.uses, &mut waiting.rates);
        if let Some(at) = used.last_used_at
            && self.has_room(uses, &used.key_id)
        {
            let latest = uses.entry(used.key_id).or_insert(at);
            *latest = at.max(*latest);
        }
        if let Some(rate) = used.rate
            && self.has_room(rates, &used.lineage)
        {
            let note = RateNote::new(used.lineage, rate, used.reach);
            let latest = rates.entry(used.lineage).or_insert(note);
            if latest.state <= rate {
                *latest = note;
            }
        }
    }

    fn has_room<V>(&self, waiting: &HashMap<KeyId, V>, id: &KeyId) -> bool {
        let has_room = waiting.len() < self.most || waiting.contains_key(id);
        if !has_room {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }
}

impl<S: Store + 'static> Shared<S> {
    /// Records rate states each second and last uses every few seconds, until the end;
    /// [`super::Authenticator::stop`] records the rest.
    pub(super) async fn flush_every(self: Arc<Self>, every: Duration) {
        let mut recorded = Instant::now();
        loop {
            tokio::select! {
                () = sleep(every.min(RATES_INTERVAL)) => {}
                () = self.ended.cancelled() => return,
            }
            let flush = if recorded.elapsed() < every {
                Flush::Rates
            } else {
                recorded = Instant::now();
                Flush::All
            };
            // What could not be recorded waits for the next time.
            let _ = self.flush(flush).await;
        }
    }

    /// Records what was used so far. One flush at a time: what another has drained is recorded
    /// when this returns.
    pub(super) async fn flush(&self, flush: Flush) -> Result<(), StoreError> {
        let mut waiting = self.uses.waiting.lock().await;
        for used in self.keyring.drain_uses() {
            self.uses.add(&mut waiting, &used);
        }
        self.uses.count.store(waiting.uses.len(), Ordering::Relaxed);
        let rates = self.flush_rates(&mut waiting.rates, flush).await;
        if flush == Flush::Rates {
            return rates;
        }
        let uses = self.flush_uses(&mut waiting.uses).await;
        self.uses.count.store(waiting.uses.len(), Ordering::Relaxed);
        rates.and(uses)
    }

    async fn flush_rates(
        &self,
        waiting: &mut HashMap<KeyId, RateNote>,
        flush: Flush,
    ) -> Result<(), StoreError> {
        if waiting.is_empty() {
            return Ok(());
        }
        let now = (self.clock)()?;
        let soon = if flush == Flush::Rest {
            Millis::ZERO
        } else {
            FREE_SOON
        };
        let free_in = |note: &RateNote| {
            let free_at = note.state.full_at();
            free_at.map_or(Millis::ZERO, |free_at| free_at.since(now))
        };
        // Those that are free soon wait, since the process may stop before.
        waiting.retain(|_, note| free_in(note) > Millis::ZERO);
        let due = waiting.values().filter(|note| free_in(note) > soon);
        // In one order, so that processes that record the same lineages do not deadlock.
        let mut rates: Vec<_> = due.copied().collect();
        rates.sort_unstable_by_key(|note| note.lineage);
        for batch in rates.chunks(BATCH) {
            // A reading for each batch, since a store compares it with its own clock.
            let now = (self.clock)()?;
            let notes: Vec<_> = batch
                .iter()
                .map(|note| note.that_only_raises(now))
                .collect();
            let begun = Instant::now();
            self.in_time(self.store.note_rates(&notes, now)).await?;
            self.noted.add(&notes, begun.elapsed(), now);
            for note in batch {
                waiting.remove(&note.lineage);
            }
        }
        Ok(())
    }

    async fn flush_uses(&self, waiting: &mut HashMap<KeyId, UnixMillis>) -> Result<(), StoreError> {
        // In one order, as above.
        let mut uses: Vec<_> = waiting.iter().map(|(id, at)| (*id, *at)).collect();
        uses.sort_unstable();
        for batch in uses.chunks(BATCH) {
            self.uses.count.store(waiting.len(), Ordering::Relaxed);
            self.in_time(self.store.note_uses(batch)).await?;
            for (id, _) in batch {
                waiting.remove(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_so_many_keys_wait() {
        let pending = PendingUses::new(1);
        let [one, other] = ["1000000000000001", "1000000000000002"];
        let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
        let mut waiting = HashMap::new();
        assert!(pending.has_room(&waiting, &one));
        waiting.insert(one, ());
        assert!(pending.has_room(&waiting, &one), "a later use of the same");
        assert_eq!(pending.dropped(), 0);
        assert!(!pending.has_room(&waiting, &other));
        assert_eq!(pending.dropped(), 1);
    }
}
