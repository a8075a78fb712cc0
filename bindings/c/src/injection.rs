//! Panics on demand, for the tests that need them. Never part of a released library.

use core::cell::Cell;

std::thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Makes the next call of this thread panic inside its guard.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_test_panic_next() {
    ARMED.set(true);
}

/// Panics if the test asked for it.
#[expect(clippy::panic, reason = "that is what it is for")]
pub(crate) fn point() {
    if ARMED.replace(false) {
        panic!("injected");
    }
}
