//! Which library this is.

use core::ffi::{CStr, c_char};

use crate::boundary::guard_or;

/// The number of the ABI that this header describes. Compare it with
/// `keystile_abi_version`: a program must not use a library with another number.
//
// It is raised with the first release, and then with each release that changes what a program
// was compiled with. Until then, header and library are of the same commit.
pub const KEYSTILE_ABI_VERSION: u32 = 1;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"unknown",
    };

/// Returns the version of the library, such as `1.2.3`: a static text that ends in NUL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_version() -> *const c_char {
    guard_or(VERSION.as_ptr(), || None)
}

/// Returns the number of the library's ABI; the header's is `KEYSTILE_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_abi_version() -> u32 {
    guard_or(KEYSTILE_ABI_VERSION, || None)
}
