//! What was spent outside of single entries: the meters that lineages share, and the debts
//! of keys that were evicted.

use core::hash::Hash;
use std::collections::HashMap;
use std::sync::Arc;

use super::shared_meter::{Debt, Share, SharedMeter};
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Hashing, Mutex, lock};
use crate::key::id::KeyId;
use crate::policy::rate_limit::RateLimit;
use crate::time::UnixMillis;

/// The meters of lineages and the debts of evicted keys, twice the capacity of each at
/// most.
pub(super) struct Lineages {
    meters: Mutex<ExpiringMap<KeyId, (Arc<SharedMeter>, u64)>>,
    debts: Mutex<ExpiringMap<KeyId, (Debt, u64)>>,
    /// States of rate limits that were forgotten for lack of room.
    lost: AtomicU64,
}

impl Lineages {
    pub(super) fn new(capacity: usize) -> Self {
        let most = capacity.saturating_mul(2);
        Self {
            meters: Mutex::new(ExpiringMap::new(most)),
            debts: Mutex::new(ExpiringMap::new(most)),
            lost: AtomicU64::new(0),
        }
    }

    /// A key's share of its lineage's meter, which has to be released, and whether that is a new one; `None` if there is
    /// no room for one, because the store does not know yet what other lineages have used.
    pub(super) fn join(
        &self,
        lineage: KeyId,
        limit: Option<&Arc<RateLimit>>,
        remaining: Option<u64>,
        drains: u64,
        now: UnixMillis,
    ) -> Option<(Share, bool)> {
        let mut meters = lock(&self.meters);
        if let Some((meter, _)) = meters.map.get_mut(&lineage) {
            if SharedMeter::share(meter, limit).is_none()
                && let Some(limit) = limit
            {
                *meter = Arc::new(meter.with_limit(limit, now));
            }
            meter.uses().hold();
            return Some((SharedMeter::share(meter, limit)?, false));
        }
        let is_needed =
            |(meter, until): &(Arc<SharedMeter>, u64)| *until > now.get() || !meter.close(drains);
        meters.sweep_if_due(is_needed);
        if !meters.has_room() {
            meters.sweep(is_needed);
            if meters.is_nearly_full() {
                meters.sweep(|(meter, _)| {
                    let owes = meter.owes_until(now).is_some();
                    let is_closed = meter.close(drains);
                    self.lost
                        .fetch_add(u64::from(owes && is_closed), Ordering::Relaxed);
                    !is_closed
                });
            }
            if !meters.has_room() {
                return None;
            }
        }
        let meter = Arc::new(SharedMeter::new(limit, remaining));
        meter.uses().hold();
        meters.map.insert(lineage, (Arc::clone(&meter), 0));
        Some((SharedMeter::share(&meter, limit)?, true))
    }

    /// Notes that a drain returned uses of a lineage.
    pub(super) fn returned(&self, lineage: &KeyId, count: u64, drains: u64) {
        if let Some((meter, _)) = lock(&self.meters).map.get(lineage) {
            meter.uses().returned(count, drains);
        }
    }

    /// Keeps a lineage's meter though no cached key may hold it.
    pub(super) fn keep(&self, lineage: &KeyId, until: UnixMillis) {
        if let Some((_, kept)) = lock(&self.meters).map.get_mut(lineage) {
            *kept = until.get().max(*kept);
        }
    }

    /// What a lineage has spent by the limit that it has had last.
    pub(super) fn spent(&self, lineage: &KeyId) -> Option<Debt> {
        let meters = lock(&self.meters);
        meters.map.get(lineage)?.0.spent()
    }

    /// Remembers what a key owes, and until when.
    pub(super) fn owe(&self, id: KeyId, debt: Debt, until: UnixMillis, now: UnixMillis) {
        let mut debts = lock(&self.debts);
        debts.sweep_if_due(|(_, until)| *until > now.get());
        if debts.has_room() {
            debts.map.insert(id, (debt, until.get()));
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes what a key owes.
    pub(super) fn take_debt(&self, id: &KeyId) -> Option<Debt> {
        lock(&self.debts).map.remove(id).map(|(debt, _)| debt)
    }

    /// What a key owes.
    pub(super) fn debt(&self, id: &KeyId) -> Option<Debt> {
        lock(&self.debts).map.get(id).map(|(debt, _)| debt.clone())
    }

    /// A lineage's meter, to be read.
    pub(super) fn meter(&self, lineage: &KeyId) -> Option<Arc<SharedMeter>> {
        let meters = lock(&self.meters);
        meters.map.get(lineage).map(|(meter, _)| Arc::clone(meter))
    }

    /// How many states were forgotten for lack of room before they were as new.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
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
    use super::super::meter::SpendError;
    use super::*;
    use crate::policy::rate_state::RateState;
    use crate::time::Millis;
    use std::vec::Vec;

    fn id(number: u64) -> KeyId {
        std::format!("1{number:015}").parse().unwrap()
    }

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(1_790_000_000_000)
            .unwrap()
            .plus(Millis::new(millis))
            .unwrap()
    }

    fn per_hour(limit: u32) -> Arc<RateLimit> {
        Arc::new(RateLimit::new(limit, Millis::from_hours(1)).unwrap())
    }

    fn debt() -> Debt {
        let limit = per_hour(1);
        let state = limit.admit(RateState::default(), at(0)).unwrap();
        Debt { limit, state }
    }

    /// As a key that is cached, and evicted again.
    fn pass(share: &Share) {
        share.meter.uses().release();
    }

    fn join(lineages: &Lineages, number: u64, uses: u64, now: u64) -> Option<(Share, bool)> {
        lineages.join(id(number), None, Some(uses), 0, at(now))
    }

    #[test]
    fn a_debt_is_given_back_once() {
        let lineages = Lineages::new(4);
        lineages.owe(id(1), debt(), at(10), at(0));
        assert_eq!(
            lineages.debt(&id(1)).map(|owed| owed.state),
            Some(debt().state)
        );
        let taken = lineages.take_debt(&id(1)).map(Debt::parts);
        assert_eq!(taken, Some((Some(per_hour(1)), debt().state)));
        assert!(lineages.take_debt(&id(1)).is_none() && lineages.debt(&id(1)).is_none());
    }

    #[test]
    fn debts_and_meters_are_bounded_and_what_is_needed_stays() {
        let lineages = Lineages::new(4);
        let (held, is_new) = join(&lineages, 0, 3, 0).unwrap();
        assert!(is_new && held.meter.uses().get() == Some(3));
        for number in 1..1_000_u64 {
            let until = at(number.saturating_add(3));
            lineages.owe(id(number), debt(), until, at(number));
            let (share, is_new) = join(&lineages, number, 3, number).unwrap();
            assert!(is_new);
            pass(&share);
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
        assert_eq!(lineages.lost(), 0);
        let (again, is_new) = join(&lineages, 0, 9, 2_000).unwrap();
        assert!(!is_new && Arc::ptr_eq(&held.meter, &again.meter));
        assert_eq!(again.meter.uses().get(), Some(3));
    }

    #[test]
    fn a_time_with_more_debts_than_fit_is_got_over_and_counted() {
        for capacity in [4, 64] {
            let lineages = Lineages::new(capacity);
            let many = u64::try_from(capacity * 4).unwrap();
            for number in 1..=many {
                lineages.owe(id(number), debt(), at(1_000), at(number / many));
                assert!(lock(&lineages.debts).map.len() <= 2 * capacity);
            }
            assert_eq!(lineages.lost(), many / 2);
            // All are paid. What is owed now is remembered, but for a few that make way.
            let later = many + 1..=2 * many;
            let remembered = later.filter(|&number| {
                lineages.owe(id(number), debt(), at(3_000), at(2_000));
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
        for number in 0..8 {
            pass(&join(&lineages, number, 3, 0).unwrap().0);
            lineages.keep(&id(number), at(if number == 0 { 5_000 } else { 1_000 }));
        }
        drop(join(&lineages, 9, 3, 2_000));
        let (_, is_new) = join(&lineages, 0, 3, 2_000).unwrap();
        assert!(!is_new, "it was to be kept");
    }

    #[test]
    fn a14_a_meter_whose_uses_the_store_does_not_know_is_never_forgotten() {
        let lineages = Lineages::new(4);
        for number in 0..8 {
            let (share, _) = join(&lineages, number, 3, 0).unwrap();
            assert!(share.spend(None, at(0)).is_ok());
            pass(&share);
        }
        assert!(join(&lineages, 8, 3, 0).is_none(), "refused");
        for number in 0..8 {
            let (share, is_new) = join(&lineages, number, 3, 0).unwrap();
            assert!(!is_new);
            assert_eq!(share.meter.uses().get(), Some(2));
            pass(&share);
        }
        let (late, _) = join(&lineages, 5, 3, 0).unwrap();
        pass(&late);
        // The uses of one are drained, and with the next drain they are taken for written.
        lineages.returned(&id(5), 1, 1);
        assert!(lineages.join(id(8), None, Some(3), 1, at(0)).is_none());
        assert!(lineages.join(id(8), None, Some(3), 2, at(0)).is_some());
        // It is in nobody's way if a late thread still has it.
        assert!(matches!(late.spend(None, at(0)), Err(SpendError::Closed)));
    }

    #[test]
    fn a_rate_that_is_forgotten_for_lack_of_room_is_counted() {
        let lineages = Lineages::new(1);
        let hourly = per_hour(1);
        for number in 0..3 {
            let (share, _) = lineages
                .join(id(number), Some(&hourly), None, 0, at(0))
                .unwrap();
            assert!(share.spend(Some(&hourly), at(0)).is_ok());
            pass(&share);
            lineages.keep(&id(number), at(3_600_000));
        }
        assert!(lineages.lost() > 0);
    }

    #[test]
    fn a5_what_was_spent_by_another_limit_is_one_burst_at_most() {
        let lineages = Lineages::new(4);
        let yearly = Arc::new(RateLimit::new(24, Millis::from_days(366)).unwrap());
        let share = |limit: &Arc<RateLimit>, now| {
            let (share, _) = lineages.join(id(1), Some(limit), None, 0, at(now)).unwrap();
            share
        };
        let before = share(&yearly, 0);
        for _ in 0..24 {
            assert!(before.spend(Some(&yearly), at(0)).is_ok());
        }
        let fast = per_hour(1_000);
        let after = share(&fast, 0);
        assert!(
            matches!(before.spend(Some(&yearly), at(0)), Err(SpendError::Closed)),
            "it was taken over"
        );
        assert!(
            after.spend(Some(&fast), at(0)).is_err(),
            "nothing is granted"
        );
        let spend = |_: &u32| after.spend(Some(&fast), at(3_600_000)).is_ok();
        assert_eq!((0..2_000).filter(spend).count(), 1_000);
        // The key that has the old limit still gets nothing back, and all counts by both.
        let old = share(&yearly, 3_600_000);
        assert!(Arc::ptr_eq(&old.meter, &after.meter));
        assert!(old.spend(Some(&yearly), at(3_600_000)).is_err());
        let limits: Vec<_> = (1..9).map(per_hour).collect();
        for limit in &limits {
            drop(share(limit, 3_600_000));
        }
        assert!(after.spend(Some(&fast), at(9_000_000)).is_err(), "closed");
    }

    #[test]
    fn what_was_spent_in_two_meters_adds_up() {
        let limit = Arc::new(RateLimit::new(4, Millis::from_secs(4)).unwrap());
        let one = limit.admit(RateState::default(), at(0)).unwrap();
        let two = limit.admit(one, at(0)).unwrap();
        let lineages = Lineages::new(4);
        let (share, _) = lineages.join(id(1), Some(&limit), None, 0, at(0)).unwrap();
        share.meter.add(Some(&limit), one, at(0));
        share.meter.add(Some(&limit), two, at(0));
        let state = || share.rate().unwrap().state().unwrap();
        assert_eq!(limit.quota(state(), at(0)).remaining(), 1);
        // Nothing to add changes nothing, also after the clock has stepped back.
        let earlier = UnixMillis::new(1_789_999_940_000).unwrap();
        let before = state();
        share.meter.add(Some(&limit), RateState::default(), earlier);
        share.meter.raise_to(RateState::default(), earlier);
        assert_eq!(state(), before);
        // What a store knows counts if it is more.
        share.meter.raise_to(one, at(0));
        assert_eq!(state(), before);
        let all = (0..4).try_fold(RateState::default(), |state, _| limit.admit(state, at(0)));
        share.meter.raise_to(all.unwrap(), at(0));
        assert_eq!(limit.quota(state(), at(0)).remaining(), 0);
    }
}
