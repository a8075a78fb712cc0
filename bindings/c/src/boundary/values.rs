//! The references that a keyring holds to its caller's values, by clause *values*, and whether it
//! may be used in this process.

use core::ffi::c_void;
use core::fmt;
use core::mem::forget;
use core::ptr::NonNull;

use keystile::{Keyring, KeyringBuilder};

use super::fork::Process;
use super::non_null;
use crate::error::Failure;
use crate::status::keystile_status::{self, *};

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
    process: Process,
    callbacks: Option<Box<Callbacks>>,
}

impl ValuedKeyring {
    pub(crate) fn new(
        builder: KeyringBuilder,
        callbacks: Option<Callbacks>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            keyring: builder.build_with_values()?,
            process: Process::current()?,
            callbacks: callbacks.map(Box::new),
        })
    }

    /// The keyring, in the process that made it. After a fork, another thread may have held any
    /// of its locks, and nobody is left to give it back.
    #[inline]
    pub(crate) fn core(&self) -> Result<&Keyring<Option<Value>>, keystile_status> {
        if self.is_forked() {
            return Err(KEYSTILE_ERROR_FORKED);
        }
        Ok(&self.keyring)
    }

    /// Whether this is a copy in a child of the process that made it.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_current()
    }

    /// A reference to a value for an entry of this keyring; none for NULL.
    pub(crate) fn retain(&self, value: *mut c_void) -> Result<Option<Value>, keystile_status> {
        let Some(value) = NonNull::new(value) else {
            return Ok(None);
        };
        self.core()?;
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
