//! Counting uses where many threads use one key.

use core::sync::atomic::AtomicUsize as StdAtomicUsize;
use std::boxed::Box;

use super::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Keys that may have a counter of several stripes. Contended keys are few.
const STRIPED_MAX: usize = 256;
/// Counters of such a key, each in a cache line of its own.
const STRIPES: usize = 8;

/// Stands for no stripes.
const NONE: u32 = 0;
/// No count: the key's next entry has taken it over.
const CLOSED: u32 = u32::MAX;

/// A count that many threads raise.
///
/// It begins as one number. Threads that collide on it are sent to a counter of several
/// stripes (the idea of Java's `LongAdder`), so that a key that all threads use does not
/// bounce one cache line between them.
pub(super) struct Count {
    base: AtomicU32,
    stripes: AtomicU32,
}

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

    fn counter(&self, stripes: u32) -> Option<&[Line; STRIPES]> {
        self.counters
            .get(usize::try_from(stripes).ok()?.checked_sub(1)?)
    }

    /// Stripes for a contended key, while there are any; they are never given back, so
    /// that a late thread cannot count for another key.
    fn give(&self) -> u32 {
        if self.given.load(Ordering::Relaxed) >= STRIPED_MAX {
            return NONE;
        }
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let number = u32::try_from(given).unwrap_or(u32::MAX).saturating_add(1);
        if given < STRIPED_MAX { number } else { NONE }
    }
}

impl Count {
    pub(super) fn new() -> Self {
        Self {
            base: AtomicU32::new(0),
            stripes: AtomicU32::new(NONE),
        }
    }

    /// Counts one.
    #[inline]
    pub(super) fn raise(&self, pool: &StripePool) -> Raised {
        if let Some(counter) = pool.counter(self.stripes.load(Ordering::Acquire)) {
            return raise_stripe(counter);
        }
        let seen = self.base.load(Ordering::Relaxed);
        if seen == CLOSED {
            return Raised::Closed;
        }
        match self
            .base
            .compare_exchange(seen, more(seen), Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(0) => Raised::FromZero,
            Ok(_) => Raised::Further,
            Err(_) => self.raise_contended(pool),
        }
    }

    #[cold]
    fn raise_contended(&self, pool: &StripePool) -> Raised {
        let given = pool.give();
        if given != NONE {
            // Whoever comes second wastes its stripes; that is rare.
            let _ = self
                .stripes
                .compare_exchange(NONE, given, Ordering::AcqRel, Ordering::Acquire);
        }
        if let Some(counter) = pool.counter(self.stripes.load(Ordering::Acquire)) {
            return raise_stripe(counter);
        }
        let raise = |seen| (seen != CLOSED).then(|| more(seen));
        match self
            .base
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise)
        {
            Ok(0) => Raised::FromZero,
            Ok(_) => Raised::Further,
            Err(_) => Raised::Closed,
        }
    }

    /// Takes what was counted, and counts on from zero.
    pub(super) fn take(&self, pool: &StripePool) -> u64 {
        let take = |seen| (seen != CLOSED).then_some(0);
        let base = self
            .base
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .unwrap_or(0);
        let counter = pool.counter(self.stripes.load(Ordering::Acquire));
        counter
            .into_iter()
            .flatten()
            .fold(base.into(), |sum: u64, line| {
                sum.saturating_add(line.0.swap(0, Ordering::Relaxed).into())
            })
    }

    /// Closes the count; the answer goes on counting in the key's next entry.
    pub(super) fn hand_over(&self) -> Self {
        let base = self.base.swap(CLOSED, Ordering::Relaxed);
        Self {
            base: AtomicU32::new(if base == CLOSED { 0 } else { base }),
            stripes: AtomicU32::new(self.stripes.load(Ordering::Acquire)),
        }
    }
}

/// What became of a use that was to be counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Raised {
    /// It is the first since the count was taken.
    FromZero,
    /// It is counted.
    Further,
    /// It is not: the key has another entry now.
    Closed,
}

/// One more, short of the mark for "closed".
const fn more(count: u32) -> u32 {
    if count < CLOSED.saturating_sub(1) {
        count.saturating_add(1)
    } else {
        count
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
