//! Who did something, for the audit.

use core::ffi::c_char;

use keystile::By;

use core::mem::MaybeUninit;

use crate::boundary::text;
use crate::error::{guard_saying, keystile_error};
use crate::status::keystile_status;

/// Checks a text for the audit that an event does not have: who did something, or the address or
/// host that it was done from. Write it beside the event, in the same transaction; the tables of
/// keystile have the columns `actor` and `origin`.
///
/// `actor`, `actor_len`: 1 to 255 bytes in UTF-8 without control or invisible characters, which
/// could forge a line of a log, and without a whole key.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_RECORD` or `KEYSTILE_ERROR_NOT_UTF8`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_actor_check(
    actor: *const c_char,
    actor_len: usize,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        By::new(text!(actor, actor_len)?)?;
        Ok(())
    })
}
