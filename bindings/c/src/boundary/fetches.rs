//! Calls of a function that fetches a record, by clause *fetches*.

use core::ffi::c_void;

use keystile::Lookup;

use crate::decide::keystile_fetched;
use crate::key::keystile_lookup;

/// A function of the caller's that fetches a record.
pub(crate) type Fetch = unsafe extern "C" fn(
    context: *mut c_void,
    lookup: *const keystile_lookup,
    out_found: *mut keystile_fetched,
) -> i32;

/// Calls a function of the caller's that fetches a record; its status, and what it found.
pub(crate) fn fetch_by(
    fetch: Fetch,
    context: *mut c_void,
    lookup: &Lookup,
) -> (i32, keystile_fetched) {
    let (lookup, mut found) = (keystile_lookup::of(lookup), keystile_fetched::none());
    // SAFETY: clause *fetches*, and both pointers are valid during the call.
    let answer = unsafe { fetch(context, &raw const lookup, &raw mut found) };
    (answer, found)
}
