//! Suspending, resuming and revoking a key, and the other changes of a single record.

use alloc::boxed::Box;

use crate::error::{Error, ErrorKind};
use crate::key::digest::PepperRing;
use crate::key::presented::PresentedKey;
use crate::record::event::{Event, EventKind};
use crate::record::key_record::{KeyRecord, REASON, Status, short_text};
use crate::time::UnixMillis;

/// A changed record and its event; a store writes both or neither.
///
/// The record's version is one higher than before. A store accepts it only if it has the
/// version before: a stale change is refused.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let change = suspend(&issued.record, now)?;
/// assert_eq!(change.record.status, Status::Suspended);
/// assert_eq!(change.record.version, issued.record.version + 1);
/// assert_eq!(change.event.kind, EventKind::Suspended);
/// assert_eq!(suspend(&change.record, now).unwrap_err().kind(), ErrorKind::State);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The record after the change.
    pub record: KeyRecord,
    /// The event for the audit log.
    pub event: Event,
}

impl Change {
    pub(crate) fn new(from: &KeyRecord, kind: EventKind, now: UnixMillis) -> Result<Self, Error> {
        let mut record = from.clone();
        record.version = from.next_version()?;
        Ok(Self {
            event: Event::new(kind, from.id, now).with_version(record.version),
            record,
        })
    }
}

/// Revokes a key permanently: nothing makes it valid again.
///
/// # Errors
/// [`ErrorKind::State`] if it is already revoked; the first time and reason stay. As each change
/// of a record, also if its version is 9223372036854775807, after which there is none.
/// [`ErrorKind::Record`] if the reason is longer than 255 bytes or has control or invisible characters.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = issue(&format, &PepperRing::none(), &IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let revoked = revoke(&issued.record, "leaked in a log", now)?.record;
/// assert!(!revoked.is_live(now));
/// assert_eq!(resume(&revoked, now).unwrap_err().kind(), ErrorKind::State);
/// # Ok::<(), Error>(())
/// ```
pub fn revoke(record: &KeyRecord, reason: &str, now: UnixMillis) -> Result<Change, Error> {
    let reason: Box<str> = short_text(reason, "reason", REASON)?;
    if matches!(record.status, Status::Revoked { .. }) {
        return Err(state(
            "a key must be active or suspended to be revoked; this one is revoked already",
        ));
    }
    let mut change = Change::new(record, EventKind::Revoked, now)?;
    change.event.reason = Some(reason.clone());
    change.record.status = Status::Revoked { at: now, reason };
    change.record.suspended_with = None;
    Ok(change)
}

/// Suspends a key until it is resumed.
///
/// # Errors
/// [`ErrorKind::State`] unless it is active.
pub fn suspend(record: &KeyRecord, now: UnixMillis) -> Result<Change, Error> {
    if record.status != Status::Active {
        return Err(state("a key must be active to be suspended"));
    }
    let mut change = Change::new(record, EventKind::Suspended, now)?;
    change.record.status = Status::Suspended;
    Ok(change)
}

/// Resumes a suspended key. Its expiry did not stop while it was suspended.
///
/// # Errors
/// [`ErrorKind::State`] unless it is suspended.
pub fn resume(record: &KeyRecord, now: UnixMillis) -> Result<Change, Error> {
    if record.status != Status::Suspended {
        return Err(state("a key must be suspended to be resumed"));
    }
    let mut change = Change::new(record, EventKind::Resumed, now)?;
    change.record.status = Status::Active;
    change.record.suspended_with = None;
    Ok(change)
}

/// The event of a key that has ended by time; the record needs no change.
///
/// # Errors
/// [`ErrorKind::State`] if the key has not ended.
pub fn expire(record: &KeyRecord, now: UnixMillis) -> Result<Event, Error> {
    if record.ends_at().is_none_or(|end| now < end) {
        return Err(state("a key must have ended for its expiry to be recorded"));
    }
    Ok(Event::new(EventKind::Expired, record.id, now).with_version(record.version))
}

/// The event of a key that is removed from a store: with the version after its last.
///
/// # Errors
/// [`ErrorKind::State`] if the key has not ended: it is neither revoked, nor expired, nor past
/// its overlap. A suspended key has not ended by that.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// assert_eq!(delete(&issued.record, now).unwrap_err().kind(), ErrorKind::State);
/// let revoked = revoke(&issued.record, "leaked", now)?.record;
/// assert_eq!(delete(&revoked, now)?.version, Some(3));
/// # Ok::<(), Error>(())
/// ```
pub fn delete(record: &KeyRecord, now: UnixMillis) -> Result<Event, Error> {
    let revoked = matches!(record.status, Status::Revoked { .. });
    if !revoked && record.ends_at().is_none_or(|end| now < end) {
        return Err(state(
            "a key must have ended to be deleted: revoke it first",
        ));
    }
    let version = record.next_version()?;
    Ok(Event::new(EventKind::Deleted, record.id, now).with_version(version))
}

/// Gives a key's record a digest under the current pepper. Call it if a decision has
/// [`needs_rehash`](crate::Allowed::needs_rehash).
///
/// # Errors
/// [`ErrorKind::State`] if the presented key is not that of the record, or if the digest is
/// already under the current pepper.
pub fn rehash(
    record: &KeyRecord,
    key: &PresentedKey<'_>,
    peppers: &PepperRing,
    now: UnixMillis,
) -> Result<Change, Error> {
    if !peppers.proves(key.text(), Some(&record.digest)) {
        return Err(state("the presented key must be that of the record"));
    }
    if !peppers.is_outdated(&record.digest) {
        return Err(state("a digest must be outdated to be replaced"));
    }
    let mut change = Change::new(record, EventKind::Rehashed, now)?;
    change.record.digest = peppers.digest(key.text());
    Ok(change)
}

pub(crate) const fn state(expected: &'static str) -> Error {
    Error::new(ErrorKind::State, expected)
}
