//! Calls of functions that fetch a record or take tokens, by clause *fetches*.

use core::ffi::c_void;

use keystile::Lookup;

use crate::decide::{keystile_fetched, keystile_taken};
use crate::key::keystile_lookup;
use crate::tokens::keystile_token_request;

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

/// A function of the caller's that takes tokens.
pub(crate) type Take = unsafe extern "C" fn(
    context: *mut c_void,
    wanted: *const keystile_token_request,
    out_taken: *mut keystile_taken,
) -> i32;

/// Calls a function of the caller's that takes tokens; its status, and what it took.
pub(crate) fn take_by(
    take: Take,
    context: *mut c_void,
    wanted: &keystile_token_request,
) -> (i32, keystile_taken) {
    let mut taken = keystile_taken::none();
    // SAFETY: clause *fetches*, and both pointers are valid during the call.
    let answer = unsafe { take(context, &raw const *wanted, &raw mut taken) };
    (answer, taken)
}
