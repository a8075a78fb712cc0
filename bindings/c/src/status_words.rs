//! Names and sentences for statuses.

use core::ffi::c_char;

use crate::boundary::guard_or;
use crate::status::words;

/// The name of a status as it stands in JSON bodies, logs and metrics, such as
/// `permission_missing`.
///
/// Returns a static text that ends in NUL; `unknown` for a number that is no status.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_status_name(status: i32) -> *const c_char {
    guard_or(c"panic".as_ptr(), || Some(words(status).0.as_ptr()))
}

/// What a status means, in a sentence for people. It never holds part of an argument.
///
/// Returns a static text that ends in NUL; a sentence saying so for a number that is no
/// status.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_status_text(status: i32) -> *const c_char {
    guard_or(c"a bug was caught".as_ptr(), || {
        Some(words(status).1.as_ptr())
    })
}
