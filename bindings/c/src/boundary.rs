//! The boundary between C and the core: panics stop here, and pointers become
//! references.
//!
//! All unsafe code of this crate is in this file. Therefore the references that a keyring
//! holds to its caller's values are here too, after the boundary itself. The code relies on what the header asks of
//! every caller, in its chapter CONVENTIONS:
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

use core::ffi::{c_char, c_void};
use core::fmt;
use core::mem::{MaybeUninit, forget, size_of};
use core::panic::AssertUnwindSafe;
use core::ptr::NonNull;
use std::panic::catch_unwind;

use keystile::{Error, Keyring, KeyringBuilder, Lookup};

use crate::decide::keystile_fetched;
use crate::key::keystile_lookup;
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

/// A struct that begins with its size, so that later versions can append to it.
///
/// # Safety
/// The type is `repr(C)` and its first field is a `usize`.
pub(crate) unsafe trait BeginsWithSize {}

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

/// A struct whose first field holds the size of this version of it.
///
/// # Safety
/// Clause *pointers*, for as many bytes as the first field says.
#[inline]
pub(crate) unsafe fn sized_at<'a, T: BeginsWithSize>(
    data: *const T,
) -> Result<&'a T, keystile_status> {
    // SAFETY: each struct of this kind begins with its size, and clause *pointers*.
    let size = unsafe { data.cast::<usize>().as_ref() };
    if *non_null(size)? != size_of::<T>() {
        return Err(KEYSTILE_ERROR_STRUCT_SIZE);
    }
    // SAFETY: it is as long as the type, and clause *pointers*.
    non_null(unsafe { data.as_ref() })
}

/// Like [`sized_at`], for a struct that is written to.
///
/// # Safety
/// Clause *outputs*, for as many bytes as the first field says.
pub(crate) unsafe fn sized_out_at<'a, T: BeginsWithSize>(
    data: *mut T,
) -> Result<&'a mut T, keystile_status> {
    // SAFETY: each struct of this kind begins with its size, and clause *outputs*.
    let size = unsafe { data.cast::<usize>().as_ref() };
    if *non_null(size)? != size_of::<T>() {
        return Err(KEYSTILE_ERROR_STRUCT_SIZE);
    }
    // SAFETY: it is as long as the type, and clause *outputs*.
    non_null(unsafe { data.as_mut() })
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

/// A function of the caller's that takes a value.
pub(crate) type Callback = unsafe extern "C" fn(value: *mut c_void);

/// How a keyring keeps the values of its caller, and gives them up.
pub(crate) struct Callbacks {
    pub(crate) retain: Callback,
    pub(crate) release: Callback,
}

/// A keyring, and the callbacks for the values that its entries carry.
pub(crate) struct ValuedKeyring {
    // Dropped first, with all its values: they use the callbacks.
    keyring: Keyring<Option<Value>>,
    callbacks: Option<Box<Callbacks>>,
}

impl ValuedKeyring {
    pub(crate) fn new(
        builder: KeyringBuilder,
        callbacks: Option<Callbacks>,
    ) -> Result<Self, Error> {
        Ok(Self {
            keyring: builder.build_with_values()?,
            callbacks: callbacks.map(Box::new),
        })
    }

    pub(crate) const fn core(&self) -> &Keyring<Option<Value>> {
        &self.keyring
    }

    /// A reference to a value for an entry of this keyring; none for NULL.
    pub(crate) fn retain(&self, value: *mut c_void) -> Result<Option<Value>, keystile_status> {
        let Some(value) = NonNull::new(value) else {
            return Ok(None);
        };
        let callbacks = non_null(self.callbacks.as_deref())?;
        Ok(Some(Value::retain(value, NonNull::from(callbacks))))
    }
}

impl fmt::Debug for ValuedKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keyring.fmt(f)
    }
}

/// One reference to a value of the caller's, in an entry or on its way out. It does not
/// outlive the [`ValuedKeyring`] that made it, which owns the callbacks.
pub(crate) struct Value {
    value: NonNull<c_void>,
    callbacks: NonNull<Callbacks>,
}

// SAFETY: clause *values*, on any thread.
unsafe impl Send for Value {}
// SAFETY: clause *values*, on any thread.
unsafe impl Sync for Value {}

impl Value {
    fn retain(value: NonNull<c_void>, callbacks: NonNull<Callbacks>) -> Self {
        // SAFETY: the keyring that owns the callbacks lives, and they never change.
        let retain = unsafe { callbacks.as_ref() }.retain;
        // SAFETY: clause *values*.
        unsafe { retain(value.as_ptr()) };
        Self { value, callbacks }
    }

    /// Hands the reference over to the caller, who is to release it.
    pub(crate) const fn hand_over(self) -> *mut c_void {
        let value = self.value.as_ptr();
        forget(self);
        value
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::retain(self.value, self.callbacks)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: the keyring that owns the callbacks lives, and they never change.
        let release = unsafe { self.callbacks.as_ref() }.release;
        // SAFETY: clause *values*.
        unsafe { release(self.value.as_ptr()) };
    }
}

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

/// The struct of an argument, after a check of its size.
macro_rules! sized {
    ($data:expr) => {{
        // SAFETY: clause *pointers*, which the exported function passes on.
        unsafe { $crate::boundary::sized_at($data) }
    }};
}

/// The struct of an output, after a check of its size.
macro_rules! sized_out {
    ($data:expr) => {{
        // SAFETY: clause *outputs*, which the exported function passes on.
        unsafe { $crate::boundary::sized_out_at($data) }
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

/// Declares that structs begin with their size.
macro_rules! begins_with_its_size {
    ($($name:ty),+) => {$(
        // SAFETY: the struct is `repr(C)` and begins with `struct_size: usize`.
        unsafe impl $crate::boundary::BeginsWithSize for $name {}
    )+};
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
    begins_with_its_size, bytes, fill, list, out_list, sized, sized_out, text, transparent_handle,
};
