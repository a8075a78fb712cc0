//! Instants and durations in whole milliseconds, so that no one mixes up their units.

use core::num::NonZeroU64;

use crate::error::{Error, ErrorKind};

/// An instant: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored.
///
/// Values before 1973-03-03 (10¹¹) are refused, since a number that small is almost
/// always a count of *seconds*. Values after the year 9999 are refused too.
///
/// ```
/// use keystile::UnixMillis;
/// assert!(UnixMillis::new(1_790_000_000_000).is_ok());
/// assert!(UnixMillis::new(1_790_000_000).is_err(), "that was seconds");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(NonZeroU64);

impl UnixMillis {
    /// The earliest instant that is accepted.
    pub const MIN: Self = Self(NonZeroU64::MIN.saturating_add(99_999_999_999));
    /// The last millisecond of the year 9999.
    pub const MAX: Self = Self(NonZeroU64::MIN.saturating_add(253_402_300_799_998));

    /// Creates an instant from a count of milliseconds.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the count is outside [`MIN`](Self::MIN) to
    /// [`MAX`](Self::MAX).
    pub const fn new(millis: u64) -> Result<Self, Error> {
        match NonZeroU64::new(millis) {
            Some(instant) if millis >= Self::MIN.get() && millis <= Self::MAX.get() => {
                Ok(Self(instant))
            }
            _ => Err(Error::new(
                ErrorKind::Time,
                "an instant must be milliseconds since 1970, between the years 1973 and 9999",
            )),
        }
    }

    /// The time of the system's clock, for a caller's convenience: this crate never reads a
    /// clock by itself, and every decision is given its instant.
    ///
    /// Read it once for each request.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the clock is before 1973 or after the year 9999.
    #[cfg(feature = "std")]
    pub fn now() -> Result<Self, Error> {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .and_then(|millis| Self::new(millis).ok())
            .ok_or(Error::new(
                ErrorKind::Time,
                "the system clock must be between the years 1973 and 9999",
            ))
    }

    /// The count of milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The instant `span` later.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if that is past the year 9999: a deadline is never rounded to
    /// "never".
    pub const fn plus(self, span: Millis) -> Result<Self, Error> {
        Self::new(self.get().saturating_add(span.0))
    }

    /// The time from `earlier` to this instant; zero if this instant is not the later
    /// one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.get().saturating_sub(earlier.get()))
    }
}

/// A duration in milliseconds.
///
/// ```
/// use keystile::{Millis, UnixMillis};
/// assert_eq!(Millis::from_days(7), Millis::new(7 * 86_400_000));
/// assert_eq!(Millis::new(1_001).secs_ceil(), 2);
/// let last = UnixMillis::MAX; // the end of the year 9999
/// assert!(last.plus(Millis::from_secs(1)).is_err());
/// assert_eq!(UnixMillis::MIN.since(last), Millis::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(u64);

impl Millis {
    /// Zero milliseconds.
    pub const ZERO: Self = Self(0);

    /// A duration of this many milliseconds.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// A duration of this many seconds, at most `u32::MAX`.
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        Self::times(secs, 1_000)
    }

    /// A duration of this many hours of 3,600 s.
    #[must_use]
    pub const fn from_hours(hours: u32) -> Self {
        Self::times(hours, 3_600_000)
    }

    /// A duration of this many days of 86,400 s.
    #[must_use]
    pub const fn from_days(days: u32) -> Self {
        Self::times(days, 86_400_000)
    }

    /// The count of milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The whole seconds that cover this duration, rounded up.
    #[must_use]
    pub const fn secs_ceil(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    const fn times(count: u32, unit: u32) -> Self {
        // Both factors have 32 bits, so the product fits.
        Self((count as u64).saturating_mul(unit as u64))
    }
}
