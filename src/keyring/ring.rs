//! Which cached key goes when there is no room: second chance, by a hand that walks round.

use std::boxed::Box;
use std::vec::Vec;

use super::places::SLACK;
use super::sync::atomic::{AtomicU64, Ordering};
use super::sync::{Mutex, lock};
use crate::key::id::KeyId;

/// The places of the cached keys, and which of them were used since the last drain.
///
/// A decision sets one bit of a key in its entry when it was clear, and one here at the
/// first use after a drain; it takes no lock.
pub(super) struct Ring {
    capacity: usize,
    used: Box<[AtomicU64]>,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    keys: Vec<Option<KeyId>>,
    free: Vec<u32>,
    hand: usize,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        let words = capacity.saturating_add(SLACK).div_ceil(64);
        Self {
            capacity,
            used: (0..words).map(|_| AtomicU64::new(0)).collect(),
            places: Mutex::new(Places::default()),
        }
    }

    /// A place for a new key; nothing where even the slack for threads that are about to
    /// evict is used up.
    pub(super) fn enter(&self, id: KeyId) -> Option<u32> {
        let mut places = lock(&self.places);
        if let Some(place) = places.free.pop() {
            *places.keys.get_mut(index(place))? = Some(id);
            return Some(place);
        }
        if places.keys.len() >= self.capacity.saturating_add(SLACK) {
            return None;
        }
        let place = u32::try_from(places.keys.len()).ok()?;
        places.keys.push(Some(id));
        Some(place)
    }

    /// Gives a place up.
    pub(super) fn leave(&self, place: u32, id: &KeyId) {
        let mut places = lock(&self.places);
        if let Some(key) = places.keys.get_mut(index(place))
            && key.as_ref() == Some(id)
        {
            *key = None;
            places.free.push(place);
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
        let mut places = lock(&self.places);
        let total = places.keys.len();
        if total.saturating_sub(places.free.len()) <= self.capacity {
            return None;
        }
        let mut last = None;
        for _ in 0..looks.min(total.saturating_mul(2)) {
            let under = places.keys.get(places.hand).copied().flatten();
            places.hand = places
                .hand
                .saturating_add(1)
                .checked_rem(total)
                .unwrap_or(0);
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
        let places = lock(&self.places);
        places.keys.len().saturating_sub(places.free.len())
    }

    /// Marks the key at a place as used.
    #[inline]
    pub(super) fn mark(&self, place: u32) {
        if let Some(word) = self.used.get(index(place) / 64) {
            word.fetch_or(1 << (place % 64), Ordering::Release);
        }
    }

    /// The keys that were marked, whose marks are taken off.
    pub(super) fn marked(&self) -> Vec<KeyId> {
        let places = lock(&self.places);
        let mut keys = Vec::new();
        for (at, word) in self.used.iter().enumerate() {
            if word.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let bits = word.swap(0, Ordering::Acquire);
            let first = at.saturating_mul(64);
            let set = (0..64usize).filter(|bit| bits >> bit & 1 == 1);
            keys.extend(set.filter_map(|bit| *places.keys.get(first.saturating_add(bit))?));
        }
        keys
    }
}

fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
