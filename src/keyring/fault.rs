//! Faults for the model checker: each would be a race, and each has to be found.
//!
//! A model that passes says little until it was seen to fail. Outside of a model no fault
//! can be planted, and the compiler removes every trace of them.

/// A step that is left out or taken in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(keystile_loom),
    expect(unreachable_pub, reason = "only models see it")
)]
#[non_exhaustive]
pub enum Fault {
    /// A record is cached though its key was invalidated since the fetch began.
    AdmittedUnchecked,
    /// The invalidations are counted after the fetch instead of before it.
    CountedAfterFetch,
    /// Admission and invalidation of a key do not exclude each other.
    LockNotTaken,
    /// An invalidation ends the cached record, but no fetch that is under way.
    MarkedOnly,
    /// A cached record is held to be as new as its admission, not as its fetch.
    AsOfAdmission,
    /// That a key is unknown is remembered though it was issued meanwhile.
    AbsentUnchecked,
    /// What a key has spent is copied when its record is refreshed.
    MeterCopied,
    /// What an evicted key has spent is copied.
    EvictedMeterOpen,
    /// The first key of a lineage goes on with a meter of its own.
    LineageApart,
    /// A fetch of the first key from before its rotation is admitted after its successor.
    FirstNotInvalidated,
    /// A count of uses is copied when the record is refreshed.
    CountCopied,
    /// A count that was handed over is not marked as one that can be drained.
    CountUnmarked,
    /// An evicted key's count goes on counting.
    EvictedCountOpen,
    /// A use that is counted after its key was evicted tells no state of the rate limit.
    LateUseWithoutState,
    /// A use is looked for before it is taken, in two steps.
    UseTakenInTwo,
    /// A raised count is what the store has, though it does not know of all uses.
    CountAsStored,
    /// A meter is forgotten and left open.
    ForgottenMeterOpen,
    /// A token is looked for before it is taken, in two steps.
    TokenTakenInTwo,
    /// A lease is copied when the record is refreshed.
    LeaseCopied,
    /// What is left of a lease is read before it is taken, in two steps.
    RestTakenInTwo,
}

/// Whether a fault was planted: never, outside of a model.
#[cfg(not(keystile_loom))]
pub(super) const fn planted(_: Fault) -> bool {
    false
}

#[cfg(keystile_loom)]
std::thread_local! {
    /// The threads of a model all run on one of the system's.
    static PLANTED: core::cell::Cell<Option<Fault>> = const { core::cell::Cell::new(None) };
}

/// Whether a fault was planted.
#[cfg(keystile_loom)]
pub(super) fn planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}

/// Plants a fault in the models of this thread.
#[cfg(keystile_loom)]
pub fn plant(fault: Fault) {
    PLANTED.set(Some(fault));
}
