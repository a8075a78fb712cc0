//! The result of a change: records for the store, an event for the audit, and the text
//! of a new key.

use core::mem::MaybeUninit;

use keystile::{ApiKey, Change, Event, EventKind, FieldChange, Issued, KeyRecord, Rotated};

use crate::boundary::{guard, guard_or, non_null, release};
use crate::record::keystile_record;
use crate::status::keystile_status::{self, *};
use crate::text::{keystile_id, keystile_str};

/// The result of issuing, rotating, revoking and other changes. Handle; it never
/// changes, and threads may share it.
///
/// A store writes all of its records or none. A record with version 1 is new; any other
/// replaces only the version before it.
#[derive(Debug)]
pub struct keystile_change {
    key: Option<ApiKey>,
    records: Vec<keystile_record>,
    event: Option<Event>,
}

/// What happened to a key.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_event_kind {
    /// A key was issued.
    KEYSTILE_EVENT_ISSUED = 1,
    /// A key was given a successor.
    KEYSTILE_EVENT_ROTATED = 2,
    /// A key was revoked.
    KEYSTILE_EVENT_REVOKED = 3,
    /// A key was suspended.
    KEYSTILE_EVENT_SUSPENDED = 4,
    /// A suspended key was resumed.
    KEYSTILE_EVENT_RESUMED = 5,
    /// The overlap of a replaced key was ended early.
    KEYSTILE_EVENT_EXPIRED = 6,
    /// A key's digest was renewed with the current pepper.
    KEYSTILE_EVENT_REHASHED = 7,
    /// A key that was issued elsewhere was imported.
    KEYSTILE_EVENT_IMPORTED = 8,
    /// What a key may do, or whom it belongs to, was changed.
    KEYSTILE_EVENT_CHANGED = 9,
    /// A key was removed from the store.
    KEYSTILE_EVENT_DELETED = 10,
    /// Older events were removed, and this one stays in their place. It is of no key.
    KEYSTILE_EVENT_PRUNED = 11,
    /// An event that has no number in this version.
    KEYSTILE_EVENT_OTHER = 99,
}

use keystile_event_kind::*;

/// One entry of an audit. It never holds the text of a key. Who did it, and from where, is the
/// caller's to write beside it: see `keystile_actor_check`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_event {
    /// A `keystile_event_kind`.
    pub kind: u32,
    /// The key; all zero for an event of more keys than have events of their own.
    pub key_id: keystile_id,
    /// The successor, if the key was rotated; otherwise all zero.
    pub successor: keystile_id,
    /// The instant, in milliseconds since 1970.
    pub at: u64,
    /// The version of the key's record from then on; 0 if it is not known.
    pub version: u64,
    /// The reason, if one was given; lent by the change.
    pub reason: keystile_str,
}

/// Reads the text of the new key, which only its owner may see: show it once and store
/// it nowhere. The change lends it, and wipes it when the change is freed.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if no key was created.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_key(
    change: Option<&keystile_change>,
    out_key: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (change, out_key) = (non_null(change)?, non_null(out_key)?);
        let key = change.key.as_ref().ok_or(KEYSTILE_ERROR_ABSENT)?;
        out_key.write(keystile_str::of(key.expose()));
        Ok(())
    })
}

/// Returns the number of records that the store must write; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_record_count(change: Option<&keystile_change>) -> usize {
    guard_or(0, || Some(change?.records.len()))
}

/// Returns the record at an index, which the change lends: do not free it. The first is
/// the record of the new key if one was created, otherwise that of the changed key.
///
/// NULL past the last one, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_record_at(
    change: Option<&keystile_change>,
    index: usize,
) -> Option<&keystile_record> {
    guard_or(None, || Some(change?.records.get(index)))
}

/// Reads the event for the audit. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if
/// there is none.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_event(
    change: Option<&keystile_change>,
    out_event: Option<&mut MaybeUninit<keystile_event>>,
) -> keystile_status {
    guard(|| {
        let (change, out_event) = (non_null(change)?, non_null(out_event)?);
        let event = change.event.as_ref().ok_or(KEYSTILE_ERROR_ABSENT)?;
        out_event.write(keystile_event::of(event));
        Ok(())
    })
}

/// Frees a change and wipes the key in it; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_change_free(change: Option<Box<keystile_change>>) {
    release(change);
}

impl keystile_event {
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            kind: keystile_event_kind::of(event.kind) as u32,
            key_id: keystile_id::of_optional(event.key_id.as_ref()),
            successor: keystile_id::of_optional(event.successor.as_ref()),
            at: event.at.get(),
            version: event.version.unwrap_or_default(),
            reason: keystile_str::of_optional(event.reason.as_deref()),
        }
    }
}

impl keystile_event_kind {
    pub(crate) const fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::Issued => KEYSTILE_EVENT_ISSUED,
            EventKind::Rotated => KEYSTILE_EVENT_ROTATED,
            EventKind::Revoked => KEYSTILE_EVENT_REVOKED,
            EventKind::Suspended => KEYSTILE_EVENT_SUSPENDED,
            EventKind::Resumed => KEYSTILE_EVENT_RESUMED,
            EventKind::Expired => KEYSTILE_EVENT_EXPIRED,
            EventKind::Rehashed => KEYSTILE_EVENT_REHASHED,
            EventKind::Imported => KEYSTILE_EVENT_IMPORTED,
            EventKind::Changed => KEYSTILE_EVENT_CHANGED,
            EventKind::Deleted => KEYSTILE_EVENT_DELETED,
            EventKind::Pruned => KEYSTILE_EVENT_PRUNED,
            _ => KEYSTILE_EVENT_OTHER,
        }
    }
}

impl keystile_change {
    /// The fields that the event names.
    pub(crate) fn fields(&self) -> &[FieldChange] {
        self.event.as_ref().map_or(&[], |event| &event.changes)
    }

    fn boxed(key: Option<ApiKey>, records: Vec<KeyRecord>, event: Option<Event>) -> Box<Self> {
        let records = records.into_iter().map(keystile_record).collect();
        Box::new(Self {
            key,
            records,
            event,
        })
    }

    pub(crate) fn issued(issued: Issued) -> Box<Self> {
        Self::boxed(Some(issued.key), vec![issued.record], Some(issued.event))
    }

    pub(crate) fn rotated(rotated: Rotated) -> Box<Self> {
        let records = core::iter::once(rotated.successor).chain(rotated.changed);
        Self::boxed(Some(rotated.key), records.collect(), Some(rotated.event))
    }

    pub(crate) fn changed(change: Change) -> Box<Self> {
        Self::boxed(None, vec![change.record], Some(change.event))
    }

    pub(crate) fn records(records: Vec<KeyRecord>) -> Box<Self> {
        Self::boxed(None, records, None)
    }
}
