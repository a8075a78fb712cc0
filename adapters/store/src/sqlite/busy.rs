//! Waiting for the write lock that another program holds, for as long as someone waits for the
//! write.

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use super::connection::BUSY_TIMEOUT;
use crate::error::{StoreError, UnavailableKind};

/// Time between the first tries to get the lock, and between the later ones.
const PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(20)];

/// A write on this thread.
struct Write {
    /// Since when it waits for the lock.
    since: Instant,
    /// Whether its caller has stopped waiting for it.
    gone: Arc<AtomicBool>,
}

thread_local! {
    /// SQLite's handler has no argument for a value of ours.
    static WRITE: RefCell<Option<Write>> = const { RefCell::new(None) };
}

#[derive(Debug, thiserror::Error)]
#[error("no one waits for this write any longer")]
struct Gone;

/// Runs work that writes, unless its caller is gone. Until it has the lock, it waits for it
/// only as long as the caller is there.
pub(super) fn waiting_for<T>(
    gone: Arc<AtomicBool>,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    /// Forgets the write, also if the work panics.
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            WRITE.set(None);
        }
    }
    if gone.load(Ordering::Acquire) {
        return Err(StoreError::unavailable_because(UnavailableKind::Late, Gone));
    }
    let since = Instant::now();
    WRITE.set(Some(Write { since, gone }));
    let _done = Done;
    work()
}

/// SQLite's busy handler: waits, and returns whether to try again.
pub(super) fn wait(tries: i32) -> bool {
    let goes_on = || {
        WRITE.with_borrow(|write| {
            write.as_ref().is_some_and(|write| {
                !write.gone.load(Ordering::Acquire) && write.since.elapsed() < BUSY_TIMEOUT
            })
        })
    };
    if tries == 0 {
        // Work of several transactions may wait for each.
        WRITE.with_borrow_mut(|write| {
            if let Some(write) = write {
                write.since = Instant::now();
            }
        });
    }
    if goes_on() {
        let [first, later] = PAUSES;
        std::thread::sleep(if tries < 10 { first } else { later });
    }
    // The caller may have gone meanwhile, and the lock may be free now.
    goes_on()
}
