//! Server-held secrets that go into each digest.

use core::mem::MaybeUninit;

use keystile::{Pepper, PepperRing};

use crate::boundary::{bytes, guard, non_null, release};
use crate::status::keystile_status;

/// A current pepper and retired ones. Handle; it never changes, and threads may share it.
/// Where a function takes one, NULL means no pepper.
#[derive(Debug)]
pub struct keystile_peppers(pub(crate) PepperRing);

/// A ring of one pepper, under which new digests are made.
///
/// `version`: a number of its own, which each digest carries.
/// `secret`, `secret_len`: 32 bytes or more. The library keeps what it derives from them,
/// not the bytes.
/// `out_peppers`: receives a handle, to be freed with `keystile_peppers_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_peppers_new(
    version: u32,
    secret: *const u8,
    secret_len: usize,
    out_peppers: Option<&mut MaybeUninit<Option<Box<keystile_peppers>>>>,
) -> keystile_status {
    guard(|| {
        let out_peppers = non_null(out_peppers)?;
        let pepper = Pepper::new(version, bytes!(secret, secret_len)?)?;
        let ring = PepperRing::new(pepper);
        out_peppers.write(Some(Box::new(keystile_peppers(ring))));
        Ok(())
    })
}

/// The same ring with one more retired pepper, under which older digests still hold; 8
/// peppers at most.
///
/// `out_peppers`: receives a new handle; `peppers` stays as it is.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_peppers_with_retired(
    peppers: Option<&keystile_peppers>,
    version: u32,
    secret: *const u8,
    secret_len: usize,
    out_peppers: Option<&mut MaybeUninit<Option<Box<keystile_peppers>>>>,
) -> keystile_status {
    guard(|| {
        let (peppers, out_peppers) = (non_null(peppers)?, non_null(out_peppers)?);
        let pepper = Pepper::new(version, bytes!(secret, secret_len)?)?;
        let ring = peppers.0.clone().retired(pepper)?;
        out_peppers.write(Some(Box::new(keystile_peppers(ring))));
        Ok(())
    })
}

/// Frees a ring; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_peppers_free(peppers: Option<Box<keystile_peppers>>) {
    release(peppers);
}

/// The ring, or that of no pepper.
pub(crate) fn ring(peppers: Option<&keystile_peppers>) -> PepperRing {
    peppers.map_or_else(PepperRing::none, |peppers| peppers.0.clone())
}
