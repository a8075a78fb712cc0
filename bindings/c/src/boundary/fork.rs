//! Whether a process is a child of the one that made a keyring: a fork copies locks that other
//! threads hold, and not these threads.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::error::Failure;

/// How many forks there were between the first process that this library was loaded in and this
/// one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process in which something was made.
pub(crate) struct Process(u32);

impl Process {
    /// This process, which counts its forks from now on.
    pub(crate) fn current() -> Result<Self, Failure> {
        watch()?;
        Ok(Self(FORKS.load(Ordering::Relaxed)))
    }

    /// Whether this process is that one. No call of the system is needed.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
fn watch() -> Result<(), Failure> {
    use core::ffi::c_int;
    use core::sync::atomic::AtomicBool;

    use crate::status::keystile_status::*;

    type Handler = Option<unsafe extern "C" fn()>;

    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }

    /// Runs in the child, whose only thread is the one that forked. It takes no lock.
    unsafe extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    // Not a OnceLock, which a fork could leave locked. Two handlers count a fork twice, which does
    // no harm.
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Acquire) {
        return Ok(());
    }
    // SAFETY: the handler lives as long as the library and may be called in any child.
    if unsafe { pthread_atfork(None, None, Some(in_child)) } != 0 {
        let expected = "the process must have memory to watch for a fork";
        return Err(Failure::new(KEYSTILE_ERROR_OTHER, expected));
    }
    WATCHED.store(true, Ordering::Release);
    Ok(())
}

/// There is no fork on other systems.
#[cfg(not(unix))]
fn watch() -> Result<(), Failure> {
    Ok(())
}
