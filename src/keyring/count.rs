//! Counting uses when many threads use one key.

use core::sync::atomic::AtomicUsize as StdAtomicUsize;
use std::boxed::Box;

use super::fault::{Fault, planted};
use super::sizes::{STRIPED_MAX, STRIPES};
use super::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The position of the number of a count's stripes, above the count itself.
const NUMBER_SHIFT: u32 = 40;
const COUNT_MASK: u64 = (1 << NUMBER_SHIFT) - 1;
/// No count: the key's next entry has taken it over, or the key was evicted.
const CLOSED: u64 = u64::MAX;

/// A count that many threads raise.
///
/// It begins as one number. Threads that collide on it are sent to a counter of several
/// stripes (the idea of Java's `LongAdder`), so that a key that all threads use does not
/// bounce one cache line between them. The number and the name of the stripes are one
/// word, so a thread that closes the count knows of every stripe that was counted in.
pub(super) struct Count(AtomicU64);

/// The name of a key's stripes; a key that was never contended has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stripes(u64);

/// The stripes that contended counts are given, made at the start: counting allocates
/// nothing.
pub(super) struct StripePool {
    counters: Box<[[Line; STRIPES]]>,
    given: AtomicUsize,
}

#[repr(align(64))]
struct Line(AtomicU32);

impl StripePool {
    pub(super) fn new() -> Self {
        let line = || core::array::from_fn(|_| Line(AtomicU32::new(0)));
        Self {
            counters: (0..STRIPED_MAX).map(|_| line()).collect(),
            given: AtomicUsize::new(0),
        }
    }

    /// Takes what was counted in stripes.
    pub(super) fn take(&self, stripes: Stripes) -> u64 {
        let lines = self.counter(stripes).into_iter().flatten();
        lines.fold(0, |sum: u64, line| {
            sum.saturating_add(line.0.swap(0, Ordering::Relaxed).into())
        })
    }

    fn counter(&self, stripes: Stripes) -> Option<&[Line; STRIPES]> {
        self.counters
            .get(usize::try_from(stripes.0).ok()?.checked_sub(1)?)
    }

    /// Stripes for a contended key, while there are any; they are never given to another,
    /// so that a late thread cannot count for the wrong key.
    fn give(&self) -> Stripes {
        if self.given.load(Ordering::Relaxed) >= STRIPED_MAX {
            return Stripes::NONE;
        }
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        match u64::try_from(given) {
            Ok(number) if given < STRIPED_MAX => Stripes(number.saturating_add(1)),
            _ => Stripes::NONE,
        }
    }
}

impl Stripes {
    pub(super) const NONE: Self = Self(0);

    const fn of(word: u64) -> Self {
        Self(word >> NUMBER_SHIFT)
    }
}

impl Count {
    /// A count of nothing, which goes on in the stripes that the key had before.
    pub(super) fn new(stripes: Stripes) -> Self {
        Self(AtomicU64::new(stripes.0 << NUMBER_SHIFT))
    }

    /// Counts one.
    #[inline(always)]
    pub(super) fn raise(&self, pool: &StripePool) -> Raised {
        let seen = self.0.load(Ordering::Relaxed);
        if seen == CLOSED {
            return Raised::Closed;
        }
        if let Some(counter) = pool.counter(Stripes::of(seen)) {
            return raise_stripe(counter);
        }
        let order = Ordering::Relaxed;
        match self.0.compare_exchange(seen, more(seen), order, order) {
            Ok(seen) => Raised::from_word(seen),
            Err(seen) => self.raise_contended(seen, pool),
        }
    }

    #[cold]
    fn raise_contended(&self, mut seen: u64, pool: &StripePool) -> Raised {
        let mut given = None;
        loop {
            if seen == CLOSED {
                return Raised::Closed;
            }
            if let Some(counter) = pool.counter(Stripes::of(seen)) {
                return raise_stripe(counter);
            }
            // Two threads that come here at once waste the stripes of one; that is extras.
            let stripes = *given.get_or_insert_with(|| pool.give());
            let next = match stripes {
                Stripes::NONE => more(seen),
                Stripes(number) => seen | number << NUMBER_SHIFT,
            };
            let order = Ordering::Relaxed;
            match self.0.compare_exchange(seen, next, order, order) {
                Ok(seen) => {
                    let counter = pool.counter(stripes);
                    return counter.map_or(Raised::from_word(seen), raise_stripe);
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Takes what was counted, and counts on from zero.
    pub(super) fn take(&self, pool: &StripePool) -> u64 {
        let take = |word| (word != CLOSED).then_some(word & !COUNT_MASK);
        let order = Ordering::Relaxed;
        match self.0.fetch_update(order, order, take) {
            Ok(word) => pool
                .take(Stripes::of(word))
                .saturating_add(word & COUNT_MASK),
            // Its next entry has it.
            Err(_) => 0,
        }
    }

    /// Closes the count; the answer goes on counting in the key's next entry.
    pub(super) fn hand_over(&self) -> Self {
        if planted(Fault::CountCopied) {
            return Self(AtomicU64::new(self.0.load(Ordering::Relaxed)));
        }
        let word = self.0.swap(CLOSED, Ordering::Relaxed);
        Self(AtomicU64::new(if word == CLOSED { 0 } else { word }))
    }

    /// Closes the count of a key that is evicted, and answers what was counted. Threads
    /// that are late may still count in its stripes.
    pub(super) fn close(&self, pool: &StripePool) -> (u64, Stripes) {
        if planted(Fault::EvictedCountOpen) {
            return (self.take(pool), Stripes::NONE);
        }
        let word = self.0.swap(CLOSED, Ordering::Relaxed);
        if word == CLOSED {
            return (0, Stripes::NONE);
        }
        let stripes = Stripes::of(word);
        let count = pool.take(stripes).saturating_add(word & COUNT_MASK);
        (count, stripes)
    }
}

/// What became of a use that was to be counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    /// It is the first since the count was taken.
    FromZero,
    /// It is counted.
    Further,
    /// It is not: the key has another entry now, or none.
    Closed,
}

impl Raised {
    const fn from_word(before: u64) -> Self {
        if before & COUNT_MASK == 0 {
            Self::FromZero
        } else {
            Self::Further
        }
    }
}

/// One more, as far as the count goes.
const fn more(word: u64) -> u64 {
    if word & COUNT_MASK < COUNT_MASK.saturating_sub(1) {
        word.saturating_add(1)
    } else {
        word
    }
}

fn raise_stripe(counter: &[Line; STRIPES]) -> Raised {
    let own = counter.get(thread_number() % STRIPES);
    match own.map(|line| line.0.fetch_add(1, Ordering::Relaxed)) {
        Some(0) => Raised::FromZero,
        _ => Raised::Further,
    }
}

/// A small number that each thread keeps.
fn thread_number() -> usize {
    static THREADS: StdAtomicUsize = StdAtomicUsize::new(0);
    std::thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}
