//! How the processes of a schedule count rate limits.

use keystile::{Leases, Millis};

use crate::test_rng::TestRng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Each process for itself.
    PerProcess,
    /// In one place: a server of limits, or the store.
    Shared(Leases),
    InTheStore(Leases),
}

/// The lengths of leases, whose eighths are on the grid.
const LENGTHS_MILLIS: [u64; 3] = [0, 320, 960];

impl Counting {
    pub(crate) fn drawn(rng: &mut TestRng, nodes: usize) -> Self {
        let length = Millis::new(LENGTHS_MILLIS[rng.below(3) as usize]);
        let mut leases = Leases::new(length, 1 + rng.below(2) as u32).unwrap();
        if rng.below(3) == 0 {
            leases = leases.with_share(nodes as u32).unwrap();
        }
        match rng.below(5) {
            0 => Self::PerProcess,
            1 => Self::InTheStore(leases),
            _ => Self::Shared(leases),
        }
    }

    pub(crate) const fn leases(self) -> Option<Leases> {
        match self {
            Self::PerProcess => None,
            Self::Shared(leases) | Self::InTheStore(leases) => Some(leases),
        }
    }

    /// The length of a lease; 0 without.
    pub(crate) fn length(self) -> u64 {
        self.leases().map_or(0, |leases| leases.length().get())
    }

    /// Whether a process that the limits do not answer decides by a share of its own.
    pub(crate) fn has_shares(self) -> bool {
        self.leases().is_some_and(|leases| leases.share().is_some())
    }
}
