//! What can be broken on purpose, so that each invariant is seen to fail.

/// A fleet that breaks one of its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The clock of the revocation bound does not run.
    LeaseStandsStill,
    /// A verb writes, and its own process does not put it in force.
    VerbsBypassTheProcess,
    /// The store answers that a key has twice the limit that it has.
    LimitsAreDoubled,
    /// The server of limits grants two tokens for each that it counts.
    LimitsGiveTwice,
    /// The server of limits forgets what was spent, and nothing reports it.
    LimitsForget,
    /// Processes use their tokens for longer than they say.
    LeasesAreLonger,
    /// Each process has the whole limit while the limits do not answer.
    SharesAreWhole,
    /// Each process counts the uses of a key for itself.
    UsesPerProcess,
    /// The store acknowledges commits that it does not keep.
    DropsCommits,
    /// A request waits for the store without a limit.
    WaitsForEver,
}
