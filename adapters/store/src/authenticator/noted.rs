//! The states of rate limits as this process has recorded them.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{KeyId, Millis, RateState, UnixMillis};

use crate::stored_usage::{RateNote, StoredUsage, units};

/// What both clocks cut off: each has whole milliseconds.
const ROUNDING: Millis = Millis::new(2);

/// The states that were recorded, until their limits are free again.
///
/// A store with a clock of its own returns them later than they are: by the time that the write
/// took to arrive, and by the time since it read its clock. A process that believed this would
/// refuse steady traffic at the limit after each fetch. So a state that is later by no more than
/// these is taken as it was recorded. What another process has counted in between is less than
/// that time, and each process grants the whole limit anyway.
pub(super) struct Noted {
    states: Mutex<HashMap<KeyId, (RateState, Duration)>>,
    most: usize,
}

impl Noted {
    pub(super) fn new(most: usize) -> Self {
        let states = Mutex::default();
        Self { states, most }
    }

    /// Remembers what was recorded, and how long that took.
    pub(super) fn add(&self, notes: &[RateNote], took: Duration, now: UnixMillis) {
        let mut states = self.states();
        states.retain(|_, (state, _)| state.full_at().is_some_and(|free_at| free_at > now));
        for note in notes {
            if states.len() < self.most || states.contains_key(&note.lineage) {
                states.insert(note.lineage, (note.state, took));
            }
        }
    }

    /// What was recorded of a lineage, if `seen` is that and has been read in `took`; otherwise
    /// `seen`.
    pub(super) fn exact(
        &self,
        lineage: &KeyId,
        stored: &StoredUsage,
        seen: RateState,
        took: Duration,
    ) -> RateState {
        if stored.clock.is_none() {
            return seen;
        }
        match self.states().get(lineage) {
            Some((state, written_in)) => {
                let late = took.saturating_add(*written_in).as_millis();
                let late = Millis::new(u64::try_from(late).unwrap_or(u64::MAX));
                let late = units(late).saturating_add(units(ROUNDING));
                let latest = state.to_bits().saturating_add(late);
                if (state.to_bits()..=latest).contains(&seen.to_bits()) {
                    *state
                } else {
                    seen
                }
            }
            None => seen,
        }
    }

    fn states(&self) -> MutexGuard<'_, HashMap<KeyId, (RateState, Duration)>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
