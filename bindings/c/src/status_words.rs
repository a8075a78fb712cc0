//! Names and sentences for statuses.

use core::ffi::c_char;

use crate::boundary::guard_or;
use crate::status::words;

/// Returns the name of a status as JSON bodies, logs and metrics use it, such as
/// `permission_missing`.
///
/// The text is static and ends in NUL; it is `unknown` for a number that is not a
/// status.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_status_name(status: i32) -> *const c_char {
    guard_or(c"panic".as_ptr(), || Some(words(status).0.as_ptr()))
}

/// Returns a sentence that explains a status to people. It never contains any part of
/// an argument.
///
/// The text is static and ends in NUL; there is one for numbers that are not a status
/// too.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_status_text(status: i32) -> *const c_char {
    guard_or(c"a bug was caught".as_ptr(), || {
        Some(words(status).1.as_ptr())
    })
}
