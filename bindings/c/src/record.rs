//! What a store holds about a key, as a handle.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{KeyRecord, RateState, Usage};

use crate::boundary::{fill, guard, guard_or, non_null, put_sized, release, sized, text};
use crate::error::{Failure, OfField as _, guard_saying, keystile_error};
use crate::record_json;
use crate::record_parts::keystile_record_parts;
use crate::status::keystile_status::{self, *};
use crate::text::instant;

/// What a store holds about a key; it never holds the key. Handle; it never changes,
/// and threads may share it.
#[derive(Debug)]
pub struct keystile_record(pub(crate) KeyRecord);

/// What a lineage of keys has spent so far. A store holds it beside its records.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct keystile_usage {
    /// The state of the rate limit; 0 at the start.
    pub rate_state: u64,
    /// The uses left, if `has_remaining_uses`.
    pub remaining_uses: u64,
    /// 1 if uses are counted, otherwise 0: as the record, see `keystile_record_usage`.
    pub has_remaining_uses: u8,
}

/// Creates a record from the columns of a table.
///
/// `parts`: copied, lists included. Its `struct_size` is
/// `sizeof(keystile_record_parts)`.
/// `out_record`: receives a handle; free it with `keystile_record_free`.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_RECORD` if fields are too long, or are not those of
/// one record; `KEYSTILE_ERROR_TIME` if an instant is out of range; `KEYSTILE_ERROR_VALUE` if not
/// exactly one of `expires_at` and `never_expires` is set; otherwise the error of the first field that
/// is not well formed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_new(
    parts: *const keystile_record_parts<'_>,
    out_record: Option<&mut MaybeUninit<Option<Box<keystile_record>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (parts, out_record) = (sized!(parts)?, non_null(out_record)?);
        let record = keystile_record(parts.record()?);
        out_record.write(Some(Box::new(record)));
        Ok(())
    })
}

/// Reads the fields of a record, for the columns of a table.
///
/// `out_parts`: set its `struct_size` before the call. Receives the fields; texts and
/// lists are lent by the record and live until it is freed.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_STRUCT_SIZE`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_parts_of<'a>(
    record: Option<&'a keystile_record>,
    out_parts: *mut keystile_record_parts<'a>,
) -> keystile_status {
    guard(|| {
        let parts = keystile_record_parts::of(&non_null(record)?.0);
        put_sized!(out_parts, parts)
    })
}

/// Parses a record from the JSON text that `keystile_record_to_json`, or keystile in
/// another language, wrote.
///
/// `out_record`: receives a handle. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_JSON`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_from_json(
    json: *const c_char,
    json_len: usize,
    out_record: Option<&mut MaybeUninit<Option<Box<keystile_record>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_record = non_null(out_record)?;
        let json = text!(json, json_len)?;
        let record: KeyRecord =
            serde_json::from_str(json).map_err(|_| record_json::failure(json))?;
        out_record.write(Some(Box::new(keystile_record(record))));
        Ok(())
    })
}

/// Formats a record as one JSON text, for a store that keeps it whole. It contains the
/// digest.
///
/// `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
/// for the length.
/// `out_needed`: receives the length of the text, also if the buffer is too small.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_to_json(
    record: Option<&keystile_record>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(record)?.0)?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Formats a record as JSON for display, without the digest.
///
/// Arguments and result as for `keystile_record_to_json`, which is the form for stores.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_record_to_public_json(
    record: Option<&keystile_record>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(record)?.0.public())?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Returns when a record's key ends: at its expiry or at the end of its overlap, whichever comes
/// first, in milliseconds since 1970. 0 if it does not end, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_record_ends_at(record: Option<&keystile_record>) -> u64 {
    guard_or(0, || Some(crate::text::millis(record?.0.ends_at())))
}

/// Checks whether a record's key is active, not expired and not past its overlap.
///
/// `out_live`: receives the answer. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_record_is_live(
    record: Option<&keystile_record>,
    now: u64,
    out_live: Option<&mut MaybeUninit<bool>>,
) -> keystile_status {
    guard(|| {
        let (record, out_live) = (non_null(record)?, non_null(out_live)?);
        out_live.write(record.0.is_live(instant(now)?));
        Ok(())
    })
}

/// Checks whether a record's key may do no more than another: same owner and environment, no
/// additional permissions, endpoints or networks, no higher limits and no later end. The
/// statuses are not compared.
///
/// `out_within`: receives the answer. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_record_is_within(
    record: Option<&keystile_record>,
    source: Option<&keystile_record>,
    out_within: Option<&mut MaybeUninit<bool>>,
) -> keystile_status {
    guard(|| {
        let (record, source) = (non_null(record)?, non_null(source)?);
        non_null(out_within)?.write(record.0.is_within(&source.0));
        Ok(())
    })
}

/// Reads the usage of a key that was never used. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_record_usage(
    record: Option<&keystile_record>,
    out_usage: Option<&mut MaybeUninit<keystile_usage>>,
) -> keystile_status {
    guard(|| {
        let (record, out_usage) = (non_null(record)?, non_null(out_usage)?);
        out_usage.write(keystile_usage::of(&Usage::of(&record.0)));
        Ok(())
    })
}

/// Frees a record; NULL is allowed. Do not free a record that another handle lent.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_record_free(record: Option<Box<keystile_record>>) {
    release(record);
}

impl keystile_usage {
    pub(crate) fn of(usage: &Usage) -> Self {
        Self {
            rate_state: usage.rate.to_bits(),
            remaining_uses: usage.remaining.unwrap_or(0),
            has_remaining_uses: u8::from(usage.remaining.is_some()),
        }
    }

    pub(crate) fn core(&self) -> Result<Usage, keystile_status> {
        let remaining = match (self.has_remaining_uses, self.remaining_uses) {
            (1, uses) => Some(uses),
            (0, 0) => None,
            // Uses without their flag were meant to be counted.
            _ => return Err(KEYSTILE_ERROR_VALUE),
        };
        Ok(Usage::new(RateState::from_bits(self.rate_state), remaining))
    }
}

impl keystile_usage {
    /// What the lineage of a record has spent. A record that counts its uses needs a count: without
    /// one, none of them would ever be spent.
    pub(crate) fn core_for(&self, record: Option<&KeyRecord>) -> Result<Usage, keystile_status> {
        let usage = self.core()?;
        let counts = record.is_some_and(|record| record.remaining_uses.is_some());
        if counts && usage.remaining.is_none() {
            return Err(KEYSTILE_ERROR_VALUE);
        }
        Ok(usage)
    }
}

/// The records of a list of pointers, none of which may be NULL.
pub(crate) fn records<'a>(
    pointers: &[Option<&'a keystile_record>],
    field: &'static str,
) -> Result<Vec<&'a KeyRecord>, Failure> {
    let record = |(index, record): (usize, &Option<&'a keystile_record>)| {
        let record = non_null(*record).of_field(field);
        Ok(&record.map_err(|failure| failure.at(index))?.0)
    };
    pointers.iter().enumerate().map(record).collect()
}
