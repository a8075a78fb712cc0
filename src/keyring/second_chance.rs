//! Which key is evicted when there is no room: second chance, by a hand that goes round.

use std::boxed::Box;
use std::vec::Vec;

use super::sizes::SLACK;
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, lock};
use crate::key::id::KeyId;

/// The slots of the cached keys, and which of them were used since the last drain.
///
/// A decision takes no lock: it sets one bit in the key's entry, and one here at the first
/// use after a drain.
pub(super) struct SecondChance {
    capacity: usize,
    used: Box<[AtomicU64]>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    keys: Vec<Option<KeyId>>,
    free: Vec<u32>,
    hand: usize,
}

impl SecondChance {
    pub(super) fn new(capacity: usize) -> Self {
        let words = capacity.saturating_add(SLACK).div_ceil(64);
        Self {
            capacity,
            used: (0..words).map(|_| AtomicU64::new(0)).collect(),
            slots: Mutex::new(Slots::default()),
        }
    }

    /// A slot for a new key; `None` if even the slack for threads that are about to
    /// evict is used up.
    pub(super) fn enter(&self, id: KeyId) -> Option<u32> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.free.pop() {
            *slots.keys.get_mut(index(slot))? = Some(id);
            return Some(slot);
        }
        if slots.keys.len() >= self.capacity.saturating_add(SLACK) {
            return None;
        }
        let slot = u32::try_from(slots.keys.len()).ok()?;
        slots.keys.push(Some(id));
        Some(slot)
    }

    /// Gives a slot up.
    pub(super) fn leave(&self, slot: u32, id: &KeyId) {
        let mut slots = lock(&self.slots);
        if let Some(key) = slots.keys.get_mut(index(slot))
            && key.as_ref() == Some(id)
        {
            *key = None;
            slots.free.push(slot);
        }
    }

    /// The next keys under the hand while there are more than fit, `looks` of them at
    /// most; `spare` says whether to pass one over. The last one looked at goes if all
    /// are to be spared.
    pub(super) fn victim(
        &self,
        looks: usize,
        mut spare: impl FnMut(&KeyId) -> bool,
    ) -> Option<KeyId> {
        let mut slots = lock(&self.slots);
        let total = slots.keys.len();
        if total.saturating_sub(slots.free.len()) <= self.capacity {
            return None;
        }
        let mut last = None;
        for _ in 0..looks.min(total.saturating_mul(2)) {
            let under = slots.keys.get(slots.hand).copied().flatten();
            slots.hand = slots.hand.saturating_add(1).checked_rem(total).unwrap_or(0);
            if let Some(id) = under {
                if !spare(&id) {
                    return Some(id);
                }
                last = Some(id);
            }
        }
        last
    }

    /// How many keys are in.
    pub(super) fn len(&self) -> usize {
        let slots = lock(&self.slots);
        slots.keys.len().saturating_sub(slots.free.len())
    }

    /// Marks the key at a slot as used.
    #[inline]
    pub(super) fn mark(&self, slot: u32) {
        if let Some(word) = self.used.get(index(slot) / 64) {
            word.fetch_or(1 << (slot % 64), Ordering::Release);
        }
    }

    /// The keys that were marked, whose marks are taken off.
    pub(super) fn marked(&self) -> Vec<KeyId> {
        let slots = lock(&self.slots);
        let mut keys = Vec::new();
        for (at, word) in self.used.iter().enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let bits = word.swap(0, Ordering::Acquire);
            let first = at.saturating_mul(64);
            let set = (0..64usize).filter(|bit| bits >> bit & 1 == 1);
            keys.extend(set.filter_map(|bit| *slots.keys.get(first.saturating_add(bit))?));
        }
        keys
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
