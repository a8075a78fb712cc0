//! The boundary between C and the core: panics stop here, and pointers become
//! references.
//!
//! All unsafe code of this crate is in this file and in its folder. The code relies on what the
//! header asks of every caller, in its chapter CONVENTIONS:
//!
//! - *pointers*: a pointer that is not NULL points to as many values as its length
//!   says, which live and stay unchanged until the call returns;
//! - *outputs*: an `out_` pointer that is not NULL may be written to, and overlaps
//!   nothing;
//! - *handles*: a handle came from this library and has not been freed;
//! - *values*: the callbacks of a keyring may be called on any thread with any value that it
//!   was given, until the last release, and return normally;
//! - *fetches*: a fetch may be called on the thread that asked for it, with the context that
//!   came with it, and returns normally.

use core::ffi::c_char;
use core::mem::{MaybeUninit, size_of};
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

pub(crate) mod clock;
pub(crate) mod fetches;
pub(crate) mod fork;
pub(crate) mod sizes;
pub(crate) mod values;

use crate::status::keystile_status::{self, *};

/// The result of a call: done, or the status that says why not.
pub(crate) type CallResult = Result<(), keystile_status>;

/// Memory that the caller provides for an output, or NULL.
pub(crate) type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// Runs the body of one exported function, and returns a status if it panics.
///
/// A panic can leave behind a record or a set that no caller received, or a keyring,
/// whose locks recover from a thread that panicked.
#[inline]
pub(crate) fn guard(work: impl FnOnce() -> CallResult) -> keystile_status {
    match guarded(work) {
        Some(Ok(())) => KEYSTILE_OK,
        Some(Err(status)) => status,
        None => KEYSTILE_ERROR_PANIC,
    }
}

/// Like [`guard`], for a function that does not return a status.
#[inline]
pub(crate) fn guard_or<T>(otherwise: T, work: impl FnOnce() -> Option<T>) -> T {
    guarded(work).flatten().unwrap_or(otherwise)
}

#[inline]
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let work = || {
        #[cfg(feature = "panic-injection")]
        crate::injection::point();
        work()
    };
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The value of an argument that must not be NULL.
#[inline]
pub(crate) fn non_null<T>(argument: Option<T>) -> Result<T, keystile_status> {
    argument.ok_or(KEYSTILE_ERROR_NULL_POINTER)
}

/// Writes an output that the caller may leave out.
#[inline]
pub(crate) fn write_out<T>(slot: Out<'_, T>, value: T) {
    if let Some(slot) = slot {
        slot.write(value);
    }
}

/// Drops the value of a handle.
pub(crate) fn release<T>(handle: Option<Box<T>>) {
    guard_or((), || {
        drop(handle);
        None
    });
}

/// The values that a pointer and a length describe.
///
/// # Safety
/// Clause *pointers*.
#[inline]
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: usize) -> Result<&'a [T], keystile_status> {
    let fits = len
        .checked_mul(size_of::<T>())
        .is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if !fits {
        return Err(KEYSTILE_ERROR_LENGTH);
    }
    if data.is_null() {
        return if len == 0 {
            Ok(&[])
        } else {
            Err(KEYSTILE_ERROR_NULL_POINTER)
        };
    }
    // SAFETY: not NULL, no longer than memory can be, and clause *pointers*.
    Ok(unsafe { core::slice::from_raw_parts(data, len) })
}

/// The uninitialised memory that a pointer and a length describe.
///
/// # Safety
/// Clause *outputs*.
pub(crate) unsafe fn out_slice<'a, T>(
    data: *mut T,
    len: usize,
) -> Result<&'a mut [MaybeUninit<T>], keystile_status> {
    // SAFETY: the same checks apply; nothing is read through this slice.
    unsafe { slice(data.cast_const().cast::<MaybeUninit<T>>(), len) }?;
    if data.is_null() {
        return Ok(&mut []);
    }
    // SAFETY: not NULL, no longer than memory can be, and clause *outputs*.
    Ok(unsafe { core::slice::from_raw_parts_mut(data.cast::<MaybeUninit<T>>(), len) })
}

/// The text that a pointer and a length describe, for [`text!`].
///
/// # Safety
/// Clause *pointers*.
pub(crate) unsafe fn text_of<'a>(
    data: *const c_char,
    len: usize,
) -> Result<&'a str, keystile_status> {
    // SAFETY: passed on; a `char` is a byte.
    let bytes = unsafe { slice(data.cast::<u8>(), len) }?;
    core::str::from_utf8(bytes).map_err(|_| KEYSTILE_ERROR_NOT_UTF8)
}

/// Copies a text to the caller's buffer, and always writes the length that it needs.
///
/// # Safety
/// Clause *outputs*.
pub(crate) unsafe fn fill_with(
    text: &str,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Out<'_, usize>,
) -> CallResult {
    // SAFETY: passed on; a `char` is a byte.
    let buffer = unsafe { out_slice(buffer.cast::<u8>(), buffer_len) }?;
    non_null(out_needed)?.write(text.len());
    let room = buffer
        .get_mut(..text.len())
        .ok_or(KEYSTILE_ERROR_BUFFER_TOO_SMALL)?;
    for (slot, byte) in room.iter_mut().zip(text.bytes()) {
        slot.write(byte);
    }
    Ok(())
}

/// The text of an argument and its length.
macro_rules! text {
    ($data:expr, $len:expr) => {{
        // SAFETY: clause *pointers*, which the exported function passes on.
        unsafe { $crate::boundary::text_of($data, $len) }
    }};
}

/// The bytes of an argument and its length.
macro_rules! bytes {
    ($data:expr, $len:expr) => {{
        // SAFETY: clause *pointers*, which the exported function passes on.
        unsafe { $crate::boundary::slice($data.cast::<u8>(), $len) }
    }};
}

/// The values of an argument and its length.
macro_rules! list {
    ($data:expr, $len:expr) => {{
        // SAFETY: clause *pointers*, which the exported function passes on.
        unsafe { $crate::boundary::slice($data, $len) }
    }};
}

/// The memory of an output and its length.
macro_rules! out_list {
    ($data:expr, $len:expr) => {{
        // SAFETY: clause *outputs*, which the exported function passes on.
        unsafe { $crate::boundary::out_slice($data, $len) }
    }};
}

/// The memory of an output that may be that of an argument which was read before.
macro_rules! output {
    ($data:expr) => {{
        let data = $data.cast::<core::mem::MaybeUninit<_>>();
        // SAFETY: clause *outputs*, which the exported function passes on.
        let place: Option<&mut core::mem::MaybeUninit<_>> = unsafe { data.as_mut() };
        place
    }};
}

/// The size of a struct that will be written, after a check.
macro_rules! size_of_output {
    ($data:expr) => {{
        // SAFETY: clause *outputs*, which the exported function passes on.
        unsafe { $crate::boundary::sizes::size_at($data.cast_const()) }
    }};
}

/// The struct of an argument, after a check of its size.
macro_rules! sized {
    ($data:expr) => {{
        // SAFETY: clause *pointers*, which the exported function passes on.
        unsafe { $crate::boundary::sizes::sized_at($data) }
    }};
}

/// Writes a struct to an output, after a check of its size.
macro_rules! put_sized {
    ($data:expr, $value:expr) => {{
        // SAFETY: clause *outputs*, which the exported function passes on.
        unsafe { $crate::boundary::sizes::put_sized_at($data, $value) }
    }};
}

/// Copies a text to the buffer of an output.
macro_rules! fill {
    ($text:expr, $buffer:expr, $len:expr, $needed:expr) => {{
        let text: &str = $text;
        // SAFETY: clause *outputs*, which the exported function passes on.
        unsafe { $crate::boundary::fill_with(text, $buffer, $len, $needed) }
    }};
}

/// Declares that a struct begins with its size, and the first field that its first version did
/// not have; without one, this is the first version.
macro_rules! begins_with_its_size {
    ($name:ty) => {
        // SAFETY: the struct is `repr(C)`, begins with `struct_size: usize`, and all zero is one.
        unsafe impl $crate::boundary::sizes::BeginsWithSize for $name {
            const EARLIER: &'static [usize] = &[];
        }
    };
    ($name:ty, grew at $($field:ident),+) => {
        // SAFETY: the struct is `repr(C)`, begins with `struct_size: usize`, and all zero is one.
        unsafe impl $crate::boundary::sizes::BeginsWithSize for $name {
            const EARLIER: &'static [usize] = &[$(core::mem::offset_of!($name, $field)),+];
        }
    };
}

/// Makes a handle a transparent view of a core value, so that a part of a larger value
/// can be lent without a copy.
macro_rules! transparent_handle {
    ($handle:ident, $core:ty) => {
        impl $handle {
            pub(crate) const fn lend(core: &$core) -> &Self {
                let core: *const $core = core;
                // SAFETY: the handle is `repr(transparent)` over this type.
                unsafe { &*core.cast::<Self>() }
            }
        }
    };
}

pub(crate) use {
    begins_with_its_size, bytes, fill, list, out_list, output, put_sized, size_of_output, sized,
    text, transparent_handle,
};
