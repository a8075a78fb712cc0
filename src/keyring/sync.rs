//! The primitives that threads meet in, so that a model checker can take their place.

#[cfg(not(keystile_loom))]
pub(super) use core::sync::atomic;
#[cfg(keystile_loom)]
pub(super) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(keystile_loom))]
pub(super) use std::sync::{Mutex, MutexGuard};

/// Hashes keys under a seed of the process's own.
#[cfg(not(keystile_loom))]
pub(super) type Hashing = foldhash::fast::RandomState;
/// A model has to take the same way each time that it is run.
#[cfg(keystile_loom)]
pub(super) type Hashing = foldhash::fast::FixedState;

/// Locks, also after a thread died holding the lock: what these locks guard is whole
/// after each single step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
