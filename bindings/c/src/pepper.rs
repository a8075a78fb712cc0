//! Server-held secrets that are part of each digest.

use core::mem::MaybeUninit;

use keystile::{Pepper, PepperRing};

use crate::boundary::{bytes, guard, non_null, release};
use crate::error::{guard_saying, keystile_error};
use crate::status::keystile_status;

/// A current pepper and retired ones. Handle; it never changes, and threads may share
/// it. Functions that take one accept NULL for no pepper.
#[derive(Debug)]
pub struct keystile_peppers(pub(crate) PepperRing);

/// Creates a ring of one pepper, which new digests are made with.
///
/// `version`: a number that no other pepper of yours has; each digest carries it.
/// `secret`, `secret_len`: 32 bytes or more. The library keeps what it derives from
/// them, not the bytes.
/// `out_peppers`: receives a handle; free it with `keystile_peppers_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_peppers_new(
    version: u32,
    secret: *const u8,
    secret_len: usize,
    out_peppers: Option<&mut MaybeUninit<Option<Box<keystile_peppers>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_peppers = non_null(out_peppers)?;
        let pepper = Pepper::new(version, bytes!(secret, secret_len)?)?;
        let ring = PepperRing::new(pepper);
        out_peppers.write(Some(Box::new(keystile_peppers(ring))));
        Ok(())
    })
}

/// Copies a ring and adds a retired pepper, with which older digests are still
/// verified. A ring holds at most 8 peppers.
///
/// `out_peppers`: receives a new handle; `peppers` does not change.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_peppers_with_retired(
    peppers: Option<&keystile_peppers>,
    version: u32,
    secret: *const u8,
    secret_len: usize,
    out_peppers: Option<&mut MaybeUninit<Option<Box<keystile_peppers>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (peppers, out_peppers) = (non_null(peppers)?, non_null(out_peppers)?);
        let pepper = Pepper::new(version, bytes!(secret, secret_len)?)?;
        let ring = peppers.0.clone().with_retired(pepper)?;
        out_peppers.write(Some(Box::new(keystile_peppers(ring))));
        Ok(())
    })
}

/// Copies a ring without a current pepper: existing digests are checked as before, new
/// digests are SHA-256, and no digest is reported as outdated. So a first pepper can be
/// known to every process before one of them makes digests with it.
///
/// `out_peppers`: receives a new handle; `peppers` does not change.
///
/// Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_peppers_without_current(
    peppers: Option<&keystile_peppers>,
    out_peppers: Option<&mut MaybeUninit<Option<Box<keystile_peppers>>>>,
) -> keystile_status {
    guard(|| {
        let (peppers, out_peppers) = (non_null(peppers)?, non_null(out_peppers)?);
        let ring = peppers.0.clone().without_current();
        out_peppers.write(Some(Box::new(keystile_peppers(ring))));
        Ok(())
    })
}

/// Frees a ring; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_peppers_free(peppers: Option<Box<keystile_peppers>>) {
    release(peppers);
}

/// The ring, or an empty one.
pub(crate) fn ring(peppers: Option<&keystile_peppers>) -> PepperRing {
    peppers.map_or_else(PepperRing::none, |peppers| peppers.0.clone())
}
