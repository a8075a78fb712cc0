//! Structs that begin with their size: a program may have an older or a newer header than this
//! library.

use core::mem::{MaybeUninit, size_of};
use core::ops::Deref;

use super::{CallResult, non_null, slice};
use crate::status::keystile_status::{self, *};

/// By how many bytes a later version of a struct may be longer. Any other size is that of a struct
/// which was not initialised, and an output would be written beyond its end.
const GROWTH_MAX: usize = 128;

/// A struct that begins with its size, so that later versions can append to it.
///
/// # Safety
/// The type is `repr(C)`, its first field is a `usize`, and zeros are a value of each field.
pub(crate) unsafe trait BeginsWithSize: Copy {
    /// The sizes of its earlier versions.
    const EARLIER: &'static [usize];
}

/// A struct of the caller's, as this version knows it.
pub(crate) enum Sized<'a, T> {
    /// It has all fields that this version knows.
    Lent(&'a T),
    /// An older one. What it does not have is zero.
    Completed(T),
}

impl<T> Deref for Sized<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Lent(lent) => lent,
            Self::Completed(own) => own,
        }
    }
}

/// A struct whose first field holds its size.
///
/// # Safety
/// Clause *pointers*, for as many bytes as the first field says.
#[inline]
pub(crate) unsafe fn sized_at<'a, T: BeginsWithSize>(
    data: *const T,
) -> Result<Sized<'a, T>, keystile_status> {
    // SAFETY: each struct of this kind begins with its size, and clause *pointers*.
    let size = unsafe { data.cast::<usize>().as_ref() };
    let size = *non_null(size)?;
    if size != size_of::<T>() {
        // SAFETY: passed on.
        return unsafe { of_another_version(data, size) };
    }
    // SAFETY: it is as long as the type, and clause *pointers*.
    Ok(Sized::Lent(non_null(unsafe { data.as_ref() })?))
}

/// # Safety
/// As for [`sized_at`].
#[cold]
unsafe fn of_another_version<'a, T: BeginsWithSize>(
    data: *const T,
    size: usize,
) -> Result<Sized<'a, T>, keystile_status> {
    let own = size_of::<T>();
    check_size::<T>(size)?;
    // SAFETY: clause *pointers*, and the size is that of a struct.
    let bytes = unsafe { slice(data.cast::<u8>(), size) }?;
    let Some(unknown) = bytes.get(own..) else {
        let mut completed = MaybeUninit::<T>::zeroed();
        let to = completed.as_mut_ptr().cast::<u8>();
        // SAFETY: both are that long, and the one is a local variable.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, size) };
        // SAFETY: zeros are a value of each field, and the others are those of the caller.
        return Ok(Sized::Completed(unsafe { completed.assume_init() }));
    };
    // A field that is set but not known here must not be ignored: it may be a restriction.
    if unknown.iter().any(|byte| *byte != 0) {
        return Err(KEYSTILE_ERROR_STRUCT_SIZE);
    }
    // SAFETY: it is longer than the type, and clause *pointers*.
    Ok(Sized::Lent(non_null(unsafe { data.as_ref() })?))
}

fn check_size<T: BeginsWithSize>(size: usize) -> CallResult {
    let own_or_later = size_of::<T>()..=size_of::<T>().saturating_add(GROWTH_MAX);
    // The size of a struct is a multiple of its alignment.
    let is_legal = own_or_later.contains(&size) && size.is_multiple_of(align_of::<T>())
        || T::EARLIER.contains(&size);
    is_legal.then_some(()).ok_or(KEYSTILE_ERROR_STRUCT_SIZE)
}

/// The size of an output that the caller has set, and nothing else of it: the rest need not be
/// initialised.
///
/// # Safety
/// Clause *outputs*, for the first field.
pub(crate) unsafe fn size_at<T: BeginsWithSize>(data: *const T) -> Result<usize, keystile_status> {
    // SAFETY: each struct of this kind begins with its size, and clause *outputs*.
    let size = *non_null(unsafe { data.cast::<usize>().as_ref() })?;
    check_size::<T>(size)?;
    Ok(size)
}

/// Writes a struct whose size the caller has set: the fields that it has. Those that only it
/// knows become zero.
///
/// # Safety
/// Clause *outputs*, for as many bytes as the first field says.
pub(crate) unsafe fn put_sized_at<T: BeginsWithSize>(data: *mut T, value: T) -> CallResult {
    // SAFETY: passed on.
    let size = unsafe { size_at(data.cast_const()) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: it has at least that many bytes, and clause *outputs*.
    unsafe {
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), data.cast::<u8>(), known)
    };
    // SAFETY: it begins with its size, which was that of this version for a moment.
    unsafe { data.cast::<usize>().write(size) };
    // SAFETY: it has `size` bytes, of which `known` are written.
    let rest = unsafe { data.cast::<u8>().add(known) };
    // SAFETY: the same, and clause *outputs*.
    unsafe { rest.write_bytes(0, size.saturating_sub(known)) };
    Ok(())
}
