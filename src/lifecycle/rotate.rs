//! Rotation: a successor of the same lineage, and an overlap during which both keys are valid.

use alloc::vec::Vec;

use rand_core::TryCryptoRng;

use crate::error::{Error, ErrorKind};
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::key::id::KeyId;
use crate::key::text::ApiKey;
use crate::lifecycle::status::{Change, state};
use crate::record::event::{Event, EventKind};
use crate::record::key_record::{KeyRecord, Status};
use crate::time::{Millis, UnixMillis};

/// Longest age that a policy may allow, in days, and the shortest in hours.
const MAX_AGE_DAYS_MAX: u32 = 90;
const MAX_AGE_HOURS_MIN: u32 = 1;

/// How old keys may become, and how they are replaced.
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
}

impl Default for RotationPolicy {
    /// 90 days of life, 7 of overlap, notices 14, 7 and 1 days ahead, ended keys kept for
    /// 30 days.
    fn default() -> Self {
        Self {
            max_age: Millis::from_days(90),
            overlap: Millis::from_days(7),
            end_on_first_use: false,
            notice_leads: Vec::from([14, 7, 1].map(Millis::from_days)),
            retention: Millis::from_days(30),
        }
    }
}

impl RotationPolicy {
    /// How long a successor lives, whatever the lifetime of its predecessor was. If your keys
    /// live shorter than 90 days, set this too, or a rotation gives a longer life.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] outside 1 hour to 90 days, or if the overlap is longer.
    pub fn with_max_age(self, max_age: Millis) -> Result<Self, Error> {
        let legal = Millis::from_hours(MAX_AGE_HOURS_MIN)..=Millis::from_days(MAX_AGE_DAYS_MAX);
        if !legal.contains(&max_age) {
            return Err(Error::new(
                ErrorKind::Time,
                "a key's maximum age must be 1 hour to 90 days",
            ));
        }
        Self { max_age, ..self }.checked()
    }

    /// How long the old key stays valid together with its successor; zero ends it at once.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if it is longer than the maximum age.
    pub fn with_overlap(self, overlap: Millis) -> Result<Self, Error> {
        Self { overlap, ..self }.checked()
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

    /// How long a successor lives.
    #[must_use]
    pub const fn max_age(&self) -> Millis {
        self.max_age
    }

    /// How long the old key stays valid.
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

    fn checked(self) -> Result<Self, Error> {
        if self.overlap > self.max_age {
            return Err(Error::new(
                ErrorKind::Time,
                "an overlap must not be longer than the maximum age",
            ));
        }
        Ok(self)
    }
}

/// A successor and the changes to its predecessors; a store writes all of them or none.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let rotated = issuer.rotate(&issued.record, &[], &RotationPolicy::default(), &mut SysRng, now)?;
/// assert_eq!(rotated.successor.digest, Digest::sha256(rotated.key.expose().as_bytes()));
/// assert_eq!(rotated.changed[0].replaced_by, Some(rotated.successor.id));
/// assert_eq!(rotated.event.successor, Some(rotated.successor.id));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The successor's text, for its owner only.
    pub key: ApiKey,
    /// The successor's record.
    pub successor: KeyRecord,
    /// The records that changed: that of the replaced key, and that of an older key if this
    /// rotation cut its overlap short. Each version is one higher.
    pub changed: Vec<KeyRecord>,
    /// The event for the audit log.
    pub event: Event,
}

/// Gives `record` a successor of the same lineage, with the same rights.
///
/// The old key is valid until the end of the overlap or its own expiry, whichever is first.
/// The successor's lifetime starts at `now`. At every instant at least one key of the
/// lineage is valid, and never more than two: if one of `siblings`, the other records of the
/// lineage, is still in its overlap, that overlap ends now.
///
/// # Errors
/// [`ErrorKind::State`] if the key is revoked, suspended, expired or already replaced.
/// [`ErrorKind::Record`] if a sibling is of another lineage. Otherwise as
/// [`issue`](crate::issue()).
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let none = PepperRing::none();
/// # let issued = issue(&format, &none, &IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let policy = RotationPolicy::default();
/// let rotated = rotate(&issued.record, &[], &policy, &format, &none, &mut SysRng, now)?;
/// let old = &rotated.changed[0];
/// assert_eq!(old.overlap_until, Some(now.plus(Millis::from_days(7))?));
/// assert!(old.is_live(now) && rotated.successor.is_live(now));
/// let again = rotate(old, &[], &policy, &format, &none, &mut SysRng, now);
/// assert_eq!(again.unwrap_err().kind(), ErrorKind::State);
/// # Ok::<(), Error>(())
/// ```
pub fn rotate<R: TryCryptoRng + ?Sized>(
    record: &KeyRecord,
    siblings: &[KeyRecord],
    policy: &RotationPolicy,
    format: &KeyFormat,
    peppers: &PepperRing,
    rng: &mut R,
    now: UnixMillis,
) -> Result<Rotated, Error> {
    if siblings
        .iter()
        .any(|sibling| sibling.lineage != record.lineage)
    {
        return Err(Error::new(
            ErrorKind::Record,
            "siblings must be of the record's lineage",
        ));
    }
    match record.status {
        Status::Active => {}
        Status::Suspended => {
            return Err(state("a key must be active to be rotated; resume it first"));
        }
        Status::Revoked { .. } => {
            return Err(state(
                "a key must be active to be rotated; this one is revoked",
            ));
        }
    }
    if record.replaced_by.is_some() {
        return Err(state(
            "a key must have no successor to be rotated; rotate its successor",
        ));
    }
    if !record.is_live(now) {
        return Err(state(
            "a key must be live to be rotated; this one has expired",
        ));
    }

    let id = KeyId::random(rng)?;
    let (key, shown) = format.spell(&id, record.environment.as_ref(), rng)?;
    let successor = KeyRecord {
        id,
        digest: peppers.digest(key.expose().as_bytes()),
        key_prefix: shown,
        created_at: now,
        last_used_at: None,
        expires_at: Some(now.plus(policy.max_age)?),
        ends_at_first_use: policy.end_on_first_use.then_some(record.id),
        version: 1,
        ..record.clone()
    };

    let Change {
        record: mut replaced,
        mut event,
    } = Change::new(record, EventKind::Rotated, now);
    event.successor = Some(id);
    replaced.replaced_by = Some(id);
    // If the end cannot be represented, the overlap ends now; it is never unlimited.
    let overlap_end = now.plus(policy.overlap).unwrap_or(now);
    replaced.overlap_until = Some(
        record
            .expires_at
            .map_or(overlap_end, |end| end.min(overlap_end)),
    );
    replaced.ends_at_first_use = None;

    // A suspended key counts too: if it were resumed, it would be a third.
    let older = siblings.iter().filter(|sibling| {
        sibling.id != record.id
            && !matches!(sibling.status, Status::Revoked { .. })
            && sibling.ends_at().is_none_or(|end| now < end)
    });
    let changed = core::iter::once(replaced)
        .chain(older.map(|sibling| ended(sibling, now)))
        .collect();
    Ok(Rotated {
        key,
        successor,
        changed,
        event,
    })
}

/// Ends the overlap of `record`, since its `successor` was used.
///
/// Call it if a decision has [`ends_overlap_of`](crate::Allowed::ends_overlap_of). Returns
/// both changed records: the ended one, and the successor, whose use no longer ends
/// anything. Returns `None` if there is no overlap to end.
#[must_use]
pub fn end_overlap(
    record: &KeyRecord,
    successor: &KeyRecord,
    now: UnixMillis,
) -> Option<[KeyRecord; 2]> {
    if successor.ends_at_first_use != Some(record.id) || record.replaced_by != Some(successor.id) {
        return None;
    }
    let mut used = successor.clone();
    used.ends_at_first_use = None;
    used.version = used.version.saturating_add(1);
    Some([ended(record, now), used])
}

/// The record with its overlap ended now, or earlier if it was already over.
fn ended(record: &KeyRecord, now: UnixMillis) -> KeyRecord {
    let mut ended = record.clone();
    ended.overlap_until = Some(record.overlap_until.map_or(now, |end| end.min(now)));
    ended.version = ended.version.saturating_add(1);
    ended
}
