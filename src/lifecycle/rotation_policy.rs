//! How keys are replaced: the overlap, the successor's lifetime, notices.

use alloc::vec::Vec;

use crate::error::{Error, ErrorKind};
use crate::lifecycle::lifetime::{Lifetime, LifetimePolicy};
use crate::record::key_record::KeyRecord;
use crate::time::{Millis, UnixMillis};

/// Longest age and overlap that a policy may have, in days, and the shortest age in hours.
const MAX_AGE_DAYS_MAX: u32 = 90;
const MAX_AGE_HOURS_MIN: u32 = 1;

/// How keys are replaced, and how old they may become before a [`plan`](crate::plan()) says
/// that one should be.
///
/// A successor lives as long as its predecessor was given: an hour stays an hour, and never
/// stays never. [`with_lifetime`](Self::with_lifetime) asks for another length.
///
/// ```
/// use keystile::{Millis, RotationPolicy};
/// let policy = RotationPolicy::default();
/// assert_eq!(policy.max_age(), Millis::from_days(90));
/// assert_eq!(policy.overlap(), Millis::from_days(7));
/// assert!(policy.with_max_age(Millis::from_days(91)).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    max_age: Millis,
    overlap: Millis,
    end_on_first_use: bool,
    notice_leads: Vec<Millis>,
    retention: Millis,
    /// The successor's lifetime, if it is not to be its predecessor's.
    lifetime: Option<Lifetime>,
    /// The longest lifetime of the service.
    longest: Option<Millis>,
    /// What limits the successor's end, if that was said.
    latest_end: LatestEnd,
}

/// The instant at which a successor has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LatestEnd {
    /// Not said: a derived key then keeps its own.
    Unknown,
    None,
    At(UnixMillis),
}

impl Default for RotationPolicy {
    /// The lifetime of the predecessor, 7 days of overlap, rotation at 90 days of age, notices
    /// 14, 7 and 1 days ahead, ended keys kept for 30 days.
    fn default() -> Self {
        Self {
            max_age: Millis::from_days(90),
            overlap: Millis::from_days(7),
            end_on_first_use: false,
            notice_leads: Vec::from([14, 7, 1].map(Millis::from_days)),
            retention: Millis::from_days(30),
            lifetime: None,
            longest: None,
            latest_end: LatestEnd::Unknown,
        }
    }
}

impl RotationPolicy {
    /// The age at which a key is due for rotation, if it does not end before. It is not the
    /// lifetime of its successor.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] outside 1 hour to 90 days.
    pub fn with_max_age(self, max_age: Millis) -> Result<Self, Error> {
        let legal = Millis::from_hours(MAX_AGE_HOURS_MIN)..=Millis::from_days(MAX_AGE_DAYS_MAX);
        if !legal.contains(&max_age) {
            return Err(Error::new(
                ErrorKind::Time,
                "a key's maximum age must be 1 hour to 90 days",
            )
            .in_field("max_age"));
        }
        Ok(Self { max_age, ..self })
    }

    /// How long the old key stays valid together with its successor; zero ends it at once.
    ///
    /// A rotation uses at most half of the successor's lifetime, and at most half of the
    /// maximum age.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if it is longer than 90 days.
    pub fn with_overlap(self, overlap: Millis) -> Result<Self, Error> {
        if overlap > Millis::from_days(MAX_AGE_DAYS_MAX) {
            return Err(
                Error::new(ErrorKind::Time, "an overlap must be at most 90 days")
                    .in_field("overlap"),
            );
        }
        Ok(Self { overlap, ..self })
    }

    /// How long successors live, from the rotation on, instead of as long as their
    /// predecessors.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// let hour = IssueRequest::new("Acme")?.expires_in(Millis::from_hours(1))?;
    /// let record = issuer.issue(&hour, &mut SysRng, now)?.record;
    /// let usual = RotationPolicy::default();
    /// let rotated = issuer.rotate(&record, &[], &usual, &mut SysRng, now)?;
    /// assert_eq!(rotated.successor.lifetime, Some(Millis::from_hours(1)));
    /// let day = usual.with_lifetime(Millis::from_days(1))?;
    /// let rotated = issuer.rotate(&record, &[], &day, &mut SysRng, now)?;
    /// assert_eq!(rotated.successor.lifetime, Some(Millis::from_days(1)));
    /// assert!(day.with_lifetime(Millis::ZERO).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if the lifetime is zero.
    pub fn with_lifetime(mut self, lifetime: Millis) -> Result<Self, Error> {
        if lifetime == Millis::ZERO {
            return Err(
                Error::new(ErrorKind::Time, "a lifetime must be 1 ms or more").in_field("lifetime"),
            );
        }
        self.lifetime = Some(Lifetime::For(lifetime));
        Ok(self)
    }

    /// Successors never expire, whatever the lifetime of their predecessors.
    #[must_use]
    pub const fn with_endless_lifetime(mut self) -> Self {
        self.lifetime = Some(Lifetime::Ever);
        self
    }

    /// The policy under a service's. A lifetime that a successor gets from its predecessor is
    /// cut to the service's longest.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if a lifetime was asked for that is longer.
    pub fn within(mut self, policy: &LifetimePolicy) -> Result<Self, Error> {
        if let Some(asked) = self.lifetime {
            policy.check(asked)?;
        }
        self.longest = match (self.longest, policy.longest()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Ok(self)
    }

    /// The instant at which a successor ends at the latest, whatever its lifetime. `None`: there
    /// is none. Of several calls, the earliest instant counts.
    ///
    /// For a key that is derived from another, this is the end of its source. As long as it was
    /// not called, such a key's successor ends no later than the key itself.
    #[must_use]
    pub fn with_latest_end(mut self, end: Option<UnixMillis>) -> Self {
        self.latest_end = match (self.latest_end, end) {
            (LatestEnd::At(one), Some(other)) => LatestEnd::At(one.min(other)),
            (LatestEnd::At(one), None) => LatestEnd::At(one),
            (_, Some(end)) => LatestEnd::At(end),
            (_, None) => LatestEnd::None,
        };
        self
    }

    /// Whether the successor's first use ends the overlap.
    #[must_use]
    pub const fn with_end_on_first_use(mut self, end: bool) -> Self {
        self.end_on_first_use = end;
        self
    }

    /// How long before its end a key is due for a notice; any number of lead times.
    #[must_use]
    pub fn with_notice_leads<I: IntoIterator<Item = Millis>>(mut self, leads: I) -> Self {
        self.notice_leads = leads.into_iter().collect();
        self
    }

    /// How long an ended key's record is kept.
    #[must_use]
    pub const fn with_retention(mut self, retention: Millis) -> Self {
        self.retention = retention;
        self
    }

    /// The age at which a key is due for rotation.
    #[must_use]
    pub const fn max_age(&self) -> Millis {
        self.max_age
    }

    /// How long the old key stays valid, if the lifetimes are long enough.
    #[must_use]
    pub const fn overlap(&self) -> Millis {
        self.overlap
    }

    /// Whether the successor's first use ends the overlap.
    #[must_use]
    pub const fn ends_on_first_use(&self) -> bool {
        self.end_on_first_use
    }

    /// The lead times of notices.
    #[must_use]
    pub fn notice_leads(&self) -> &[Millis] {
        &self.notice_leads
    }

    /// How long an ended key's record is kept.
    #[must_use]
    pub const fn retention(&self) -> Millis {
        self.retention
    }

    /// The length of life of `record`'s successor; none is never.
    pub(crate) fn lifetime_after(&self, record: &KeyRecord) -> Option<Millis> {
        let asked = self.lifetime.map(Lifetime::length);
        match (asked.unwrap_or(record.lifetime_given()), self.longest) {
            (Some(length), Some(longest)) => Some(length.min(longest)),
            (length, longest) => length.or(longest),
        }
    }

    /// When the successor of `record` ends, for a lifetime; none is never. A length that is only
    /// inherited ends with the year 9999 at the latest: keys of other systems that are never to
    /// end are often given that year, and are rotated too.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if a lifetime that was asked for ends after the year 9999.
    pub(crate) fn end_after(
        &self,
        record: &KeyRecord,
        lifetime: Option<Millis>,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, Error> {
        let latest = match self.latest_end {
            LatestEnd::At(end) => Some(end),
            LatestEnd::None => None,
            LatestEnd::Unknown => record.derived_from.and(record.expires_at),
        };
        // If another end comes first, the lifetime need not be representable.
        let end = match (lifetime.map(|length| now.plus(length)), latest) {
            (Some(Ok(end)), Some(latest)) => Some(end.min(latest)),
            (Some(Ok(end)), None) => Some(end),
            (Some(Err(_)), None) if self.lifetime.is_none() => Some(UnixMillis::MAX),
            (Some(Err(error)), None) => return Err(error),
            (_, latest) => latest,
        };
        Ok(end)
    }

    /// The overlap with a successor of this lifetime: at most half of it, so that a key is never
    /// due for rotation before the overlap with its predecessor is over.
    pub(crate) fn overlap_within(&self, lifetime: Option<Millis>) -> Millis {
        let life = lifetime.map_or(self.max_age, |length| length.min(self.max_age));
        self.overlap.min(Millis::new(life.get() / 2))
    }
}
