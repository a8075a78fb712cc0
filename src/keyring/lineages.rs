//! What was spent outside of single entries: the meters that lineages share, and the debts
//! of keys that were evicted.

use core::hash::Hash;
use std::collections::HashMap;
use std::sync::Arc;

use super::meter::SharedMeter;
use super::sync::{Hashing, Mutex, lock};
use crate::key::id::KeyId;
use crate::policy::rate_limit::{RateLimit, RateState};
use crate::time::UnixMillis;

/// The meters of lineages and the debts of evicted keys, twice the capacity of each at
/// most.
pub(super) struct Lineages {
    meters: Mutex<ExpiringMap<KeyId, (Arc<SharedMeter>, u64)>>,
    debts: Mutex<ExpiringMap<KeyId, (RateState, u64)>>,
}

impl Lineages {
    pub(super) fn new(capacity: usize) -> Self {
        let most = capacity.saturating_mul(2);
        Self {
            meters: Mutex::new(ExpiringMap::new(most)),
            debts: Mutex::new(ExpiringMap::new(most)),
        }
    }

    /// The meter of a lineage, with what was spent before added to it; and whether it is a
    /// new one.
    pub(super) fn join(
        &self,
        lineage: KeyId,
        limit: Option<&RateLimit>,
        spent: RateState,
        remaining: Option<u64>,
        now: UnixMillis,
    ) -> (Arc<SharedMeter>, bool) {
        let mut meters = lock(&self.meters);
        if let Some((meter, _)) = meters.map.get(&lineage) {
            meter.lower_to(remaining);
            meter.serve(limit);
            meter.rate().add(limit, spent, now);
            return (Arc::clone(meter), false);
        }
        // A meter that a cached key spends from has another owner than this map.
        let is_held = |meter: &Arc<SharedMeter>| Arc::strong_count(meter) > 1;
        let is_needed =
            |(meter, until): &(Arc<SharedMeter>, u64)| is_held(meter) || *until > now.get();
        meters.sweep_if_due(is_needed);
        if !meters.has_room() {
            meters.sweep(is_needed);
            if meters.is_nearly_full() {
                meters.sweep(|(meter, _)| is_held(meter));
            }
        }
        let meter = Arc::new(SharedMeter::new(spent, remaining));
        meter.serve(limit);
        meters.map.insert(lineage, (Arc::clone(&meter), 0));
        (meter, true)
    }

    /// Keeps a lineage's meter though no cached key may hold it.
    pub(super) fn keep(&self, lineage: &KeyId, until: UnixMillis) {
        if let Some((_, kept)) = lock(&self.meters).map.get_mut(lineage) {
            *kept = until.get().max(*kept);
        }
    }

    /// Remembers what a key owes, and until when.
    pub(super) fn owe(&self, id: KeyId, state: RateState, until: UnixMillis, now: UnixMillis) {
        let mut debts = lock(&self.debts);
        debts.sweep_if_due(|(_, until)| *until > now.get());
        if debts.has_room() {
            debts.map.insert(id, (state, until.get()));
        }
    }

    /// Takes what a key owes.
    pub(super) fn take_debt(&self, id: &KeyId) -> Option<RateState> {
        lock(&self.debts).map.remove(id).map(|(state, _)| state)
    }
}

/// A map that is swept whenever it has grown to twice what the last sweep left: each
/// sweep is paid for by as many insertions. If it is full, insertions that found no room
/// pay for the next one.
struct ExpiringMap<K, V> {
    map: HashMap<K, V, Hashing>,
    most: usize,
    sweep_at: usize,
}

impl<K: Eq + Hash, V> ExpiringMap<K, V> {
    fn new(most: usize) -> Self {
        Self {
            map: HashMap::with_hasher(Hashing::default()),
            most,
            sweep_at: most / 2,
        }
    }

    fn sweep_if_due(&mut self, is_needed: impl Fn(&V) -> bool) {
        if self.map.len() >= self.sweep_at {
            self.sweep(is_needed);
        }
    }

    fn sweep(&mut self, is_needed: impl Fn(&V) -> bool) {
        self.map.retain(|_, value| is_needed(value));
        let (left, slack) = (self.map.len(), self.slack());
        let twice = left.saturating_mul(2).max(self.most / 2).min(self.most);
        self.sweep_at = twice.max(left.saturating_add(slack).saturating_add(1));
    }

    fn has_room(&mut self) -> bool {
        let has_room = self.map.len() < self.most;
        if !has_room {
            self.sweep_at = self.sweep_at.saturating_sub(1);
        }
        has_room
    }

    /// Whether so little is free that a sweep for it would soon be followed by another.
    fn is_nearly_full(&self) -> bool {
        self.map.len() >= self.most.saturating_sub(self.slack())
    }

    const fn slack(&self) -> usize {
        self.most / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    fn id(number: u64) -> KeyId {
        std::format!("1{number:015}").parse().unwrap()
    }

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(1_790_000_000_000)
            .unwrap()
            .plus(Millis::new(millis))
            .unwrap()
    }

    #[test]
    fn a_debt_is_given_back_once() {
        let lineages = Lineages::new(4);
        let state = RateState::from_bits(7);
        lineages.owe(id(1), state, at(10), at(0));
        assert_eq!(lineages.take_debt(&id(1)), Some(state));
        assert_eq!(lineages.take_debt(&id(1)), None);
    }

    #[test]
    fn debts_and_meters_are_bounded_and_what_is_needed_stays() {
        let lineages = Lineages::new(4);
        let state = RateState::from_bits(7);
        let (held, is_new) = lineages.join(id(0), None, state, Some(3), at(0));
        assert!(is_new && held.remaining() == Some(3));
        for number in 1..1_000_u64 {
            let until = at(number.saturating_add(3));
            lineages.owe(id(number), state, until, at(number));
            let (meter, is_new) = lineages.join(id(number), None, state, None, at(number));
            assert!(is_new);
            drop(meter);
            lineages.keep(&id(number), until);
            assert!(lock(&lineages.debts).map.len() <= 8);
            assert!(lock(&lineages.meters).map.len() <= 8);
            let before = id(number.saturating_sub(2).max(1));
            assert!(
                lock(&lineages.debts).map.contains_key(&before),
                "{number}: still owes"
            );
            assert!(
                lock(&lineages.meters).map.contains_key(&before),
                "{number}: to be kept"
            );
        }
        let (again, is_new) = lineages.join(id(0), None, state, Some(9), at(2_000));
        assert!(!is_new && Arc::ptr_eq(&held, &again));
        assert_eq!(again.remaining(), Some(3), "the count never rises");
    }

    #[test]
    fn a_time_with_more_debts_than_fit_is_got_over() {
        for capacity in [4, 64] {
            let lineages = Lineages::new(capacity);
            let state = RateState::from_bits(7);
            let many = u64::try_from(capacity * 4).unwrap();
            for number in 1..=many {
                lineages.owe(id(number), state, at(1_000), at(number / many));
                assert!(lock(&lineages.debts).map.len() <= 2 * capacity);
            }
            // All are paid. What is owed now is remembered, but for a few that make way.
            let later = many + 1..=2 * many;
            let remembered = later.filter(|&number| {
                lineages.owe(id(number), state, at(3_000), at(2_000));
                lineages.take_debt(&id(number)).is_some()
            });
            let remembered = remembered.count();
            assert!(
                remembered >= capacity * 4 - capacity / 8 - 1,
                "{remembered}"
            );
        }
    }

    #[test]
    fn meters_that_are_over_go_before_those_that_are_not() {
        let lineages = Lineages::new(4);
        let state = RateState::from_bits(7);
        for number in 0..8 {
            drop(lineages.join(id(number), None, state, Some(3), at(0)));
            lineages.keep(&id(number), at(if number == 0 { 5_000 } else { 1_000 }));
        }
        drop(lineages.join(id(9), None, state, Some(3), at(2_000)));
        let (_, is_new) = lineages.join(id(0), None, state, Some(3), at(2_000));
        assert!(!is_new, "it was to be kept");
    }

    #[test]
    fn what_was_spent_in_two_meters_adds_up() {
        let limit = RateLimit::new(4, Millis::from_secs(4)).unwrap();
        let one = limit.admit(RateState::default(), at(0)).unwrap();
        let two = limit.admit(one, at(0)).unwrap();
        let lineages = Lineages::new(4);
        let (meter, _) = lineages.join(id(1), Some(&limit), one, None, at(0));
        let (_, is_new) = lineages.join(id(1), Some(&limit), two, None, at(0));
        assert!(!is_new);
        let left = |now| limit.quota(meter.rate().state().unwrap(), now).remaining();
        assert_eq!(left(at(0)), 1);
        // Nothing to add changes nothing, also after the clock has stepped back.
        let earlier = UnixMillis::new(1_789_999_940_000).unwrap();
        let before = meter.rate().state();
        let nothing = RateState::default();
        drop(lineages.join(id(1), Some(&limit), nothing, None, earlier));
        assert_eq!(meter.rate().state(), before);
    }
}
