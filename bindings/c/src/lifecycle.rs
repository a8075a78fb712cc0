//! Suspending, resuming and revoking a key, and the other changes of a single record.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{delete, end_overlap, expire, rehash, resume, revoke, suspend};

use crate::boundary::{bytes, non_null, text};
use crate::change::{keystile_change, keystile_event};
use crate::error::{OfField as _, guard_saying, keystile_error};
use crate::record::keystile_record;
use crate::status::keystile_status::{self, *};
use crate::text::instant;
use crate::verify::keystile_verifier;

/// Revokes a key for good: nothing makes it active again.
///
/// `reason`, `reason_len`: for the audit, at most 255 bytes; may be empty.
/// `out_change`: receives the changed record and the event. After the store has
/// accepted it, call `keystile_keyring_invalidate`.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key is already revoked;
/// `KEYSTILE_ERROR_RECORD` if the reason is too long or not well formed;
/// `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_revoke(
    record: Option<&keystile_record>,
    reason: *const c_char,
    reason_len: usize,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, out_change) = (non_null(record)?, non_null(out_change)?);
        let change = revoke(
            &record.0,
            text!(reason, reason_len)?,
            instant(now).of_field("now")?,
        )?;
        out_change.write(Some(keystile_change::changed(change)));
        Ok(())
    })
}

/// Suspends a key until it is resumed.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` if it is not active, or
/// `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_suspend(
    record: Option<&keystile_record>,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, out_change) = (non_null(record)?, non_null(out_change)?);
        let change = suspend(&record.0, instant(now).of_field("now")?)?;
        out_change.write(Some(keystile_change::changed(change)));
        Ok(())
    })
}

/// Resumes a suspended key. The suspension does not extend its lifetime.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` if it is not suspended, or
/// `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_resume(
    record: Option<&keystile_record>,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, out_change) = (non_null(record)?, non_null(out_change)?);
        let change = resume(&record.0, instant(now).of_field("now")?)?;
        out_change.write(Some(keystile_change::changed(change)));
        Ok(())
    })
}

/// Renews the digest of a key's record with the current pepper. Call it after a
/// decision with `needs_rehash`, while the key's text is at hand: if the change is
/// written later, only the change has to wait, which has no key text.
///
/// `verifier`: the one that made the decision, for its formats and peppers.
/// `key`, `key_len`: the key's text as it was presented.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_DENIED_INVALID_KEY` if the text is not a key;
/// `KEYSTILE_ERROR_STATE` if the key belongs to another record, or the digest is
/// current.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rehash(
    verifier: Option<&keystile_verifier>,
    record: Option<&keystile_record>,
    key: *const c_char,
    key_len: usize,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (verifier, record) = (&non_null(verifier)?.0, &non_null(record)?.0);
        let (out_change, now) = (non_null(out_change)?, instant(now).of_field("now")?);
        let key = verifier
            .parse(bytes!(key, key_len)?)
            .map_err(|denial| keystile_status::from(&denial))?;
        let change = rehash(record, &key, verifier.peppers(), now)?;
        out_change.write(Some(keystile_change::changed(change)));
        Ok(())
    })
}

/// Ends the overlap of a replaced key because its successor was used. Call it after a
/// decision with `ends_overlap_of`.
///
/// `out_change`: receives both records: the ended one, and the successor, whose further
/// uses end no overlap. There is no event.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_STATE` if there is no overlap to end.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_end_overlap(
    record: Option<&keystile_record>,
    successor: Option<&keystile_record>,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, successor) = (&non_null(record)?.0, &non_null(successor)?.0);
        let (out_change, now) = (non_null(out_change)?, instant(now).of_field("now")?);
        let records = end_overlap(record, successor, now).ok_or(KEYSTILE_ERROR_STATE)?;
        out_change.write(Some(keystile_change::records(records.into())));
        Ok(())
    })
}

/// Creates the event of a key that has expired; its record does not change.
///
/// `out_event`: receives the event; it borrows nothing.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` if the key has not expired, or
/// `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_expire(
    record: Option<&keystile_record>,
    now: u64,
    out_event: Option<&mut MaybeUninit<keystile_event>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, out_event) = (non_null(record)?, non_null(out_event)?);
        out_event.write(keystile_event::of(&expire(
            &record.0,
            instant(now).of_field("now")?,
        )?));
        Ok(())
    })
}

/// Creates the event of a key that is removed from a store, with the version after its last.
/// Its row is then deleted in the same transaction, if the version is still that of the record.
///
/// `out_event`: receives the event; it borrows nothing.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key has not ended: it is neither
/// revoked, nor expired, nor past its overlap; or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_delete(
    record: Option<&keystile_record>,
    now: u64,
    out_event: Option<&mut MaybeUninit<keystile_event>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, out_event) = (non_null(record)?, non_null(out_event)?);
        out_event.write(keystile_event::of(&delete(
            &record.0,
            instant(now).of_field("now")?,
        )?));
        Ok(())
    })
}
