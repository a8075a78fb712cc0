//! Milliseconds with a fraction, in whole numbers: what a rate limit counts in.

use crate::time::{Millis, UnixMillis};

/// Bits of a number that hold the fraction of a millisecond.
pub(crate) const FRACTION_BITS: u32 = 20;
const FRACTION_MASK: u64 = (1 << FRACTION_BITS) - 1;
/// Instants from the year 2527 on leave no room for the fraction. They are refused, and
/// so are earlier ones if a full burst would reach past this limit.
pub(crate) const MILLIS_END: u64 = 1 << (u64::BITS - FRACTION_BITS);

/// Milliseconds in the upper 44 bits, parts of a millisecond in the lower 20. Ordered as
/// numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FixedPoint(pub(crate) u64);

impl FixedPoint {
    /// The value that sums saturate at; it is later than any instant.
    pub(crate) const END: Self = Self(u64::MAX);

    pub(crate) const fn at(instant: UnixMillis) -> Self {
        Self::join(instant.get(), 0)
    }

    pub(crate) const fn from_parts(count: u64, parts: u64) -> Self {
        match (count.checked_div(parts), count.checked_rem(parts)) {
            (Some(millis), Some(fraction)) => Self::join(millis, fraction),
            // A limit of 0, which refuses before it counts.
            _ => Self(0),
        }
    }

    pub(crate) const fn to_parts(self, parts: u32) -> u64 {
        let (millis, fraction) = self.split();
        millis.saturating_mul(parts as u64).saturating_add(fraction)
    }

    /// The sum. It saturates, and everything is refused at the end of the range.
    pub(crate) const fn plus(self, other: Self, parts: u32) -> Self {
        let fraction = (self.0 & FRACTION_MASK).saturating_add(other.0 & FRACTION_MASK);
        let sum = self.0.saturating_add(other.0);
        Self(if fraction < parts as u64 {
            sum
        } else {
            sum.saturating_add(Self::gap(parts))
        })
    }

    /// The difference; `other` must not be greater.
    pub(crate) const fn minus(self, other: Self, parts: u32) -> Self {
        let difference = self.0.saturating_sub(other.0);
        Self(if self.0 & FRACTION_MASK >= other.0 & FRACTION_MASK {
            difference
        } else {
            difference.saturating_sub(Self::gap(parts))
        })
    }

    /// The unused numbers between the last part of a millisecond and the next
    /// millisecond.
    const fn gap(parts: u32) -> u64 {
        (1u64 << FRACTION_BITS).saturating_sub(parts as u64)
    }

    pub(crate) const fn millis_ceil(self) -> Millis {
        let (millis, fraction) = self.split();
        Millis::new(if fraction == 0 {
            millis
        } else {
            millis.saturating_add(1)
        })
    }

    /// The same with a fraction of fewer than so many parts.
    pub(crate) const fn with_fraction_below(self, parts: u32) -> Self {
        let (millis, fraction) = self.split();
        let most = (parts as u64).saturating_sub(1);
        Self::join(millis, if fraction < most { fraction } else { most })
    }

    const fn split(self) -> (u64, u64) {
        (self.0 >> FRACTION_BITS, self.0 & FRACTION_MASK)
    }

    /// Saturates at the end of the range, where everything is refused.
    pub(crate) const fn join(millis: u64, fraction: u64) -> Self {
        if millis >= MILLIS_END {
            Self::END
        } else {
            Self(millis << FRACTION_BITS | fraction)
        }
    }
}
