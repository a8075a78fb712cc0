//! The time since a moment of this process, on the system's monotonic clock.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use std::time::Instant;

/// When this was called first; it is never freed.
//
// Not a OnceLock, which a fork could leave locked.
static START: AtomicPtr<Instant> = AtomicPtr::new(null_mut());

/// The time since this was called first. It takes no lock.
pub(crate) fn since_start() -> Duration {
    let found = START.load(Ordering::Acquire);
    if found.is_null() {
        return begin();
    }
    // SAFETY: it came from a box that is never freed, and nothing writes to it.
    let start: &Instant = unsafe { &*found };
    start.elapsed()
}

/// Of several threads that are here at once, one sets the start for all.
#[cold]
fn begin() -> Duration {
    let own = Box::into_raw(Box::new(Instant::now()));
    let set = START.compare_exchange(null_mut(), own, Ordering::AcqRel, Ordering::Acquire);
    if set.is_err() {
        // SAFETY: it came from a box just now, and no one else has seen it.
        drop(unsafe { Box::from_raw(own) });
    }
    // The start that counts may be a moment later or earlier than this one.
    Duration::ZERO
}
