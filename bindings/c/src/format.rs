//! How the text of keys is formatted.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Checksum, KeyFormat};

use crate::boundary::{bytes, guard, guard_or, non_null, release, text};
use crate::error::{guard_saying, keystile_error};
use crate::record::keystile_record;
use crate::status::keystile_status::{self, *};
use crate::text::keystile_str;

/// The format of a service's keys. Handle; it never changes, and threads may share it.
#[derive(Debug)]
pub struct keystile_format(pub(crate) KeyFormat);

/// Creates the structured format: `prefix_environment_id_secret`, with a CRC-32
/// checksum at the end.
///
/// `prefix`, `prefix_len`: 1 to 16 of a-z, 0-9 and `_`, starting with a letter and not
/// ending with `_`.
/// `out_format`: receives a handle; free it with `keystile_format_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NAME`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_format_structured(
    prefix: *const c_char,
    prefix_len: usize,
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_format = non_null(out_format)?;
        let format = KeyFormat::structured(text!(prefix, prefix_len)?)?;
        out_format.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Creates the opaque format: `prefix_` and 64 lower-case hex digits. Such a key
/// contains no id, so it is looked up by its digest.
///
/// Arguments and result as for `keystile_format_structured`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_format_opaque(
    prefix: *const c_char,
    prefix_len: usize,
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_format = non_null(out_format)?;
        let format = KeyFormat::opaque(text!(prefix, prefix_len)?)?;
        out_format.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Creates a format that parses structured keys with any prefix. It cannot issue keys.
///
/// `out_format`: receives a handle. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_any_structured(
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
) -> keystile_status {
    guard(|| {
        let format = KeyFormat::any_structured();
        non_null(out_format)?.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Creates a format that parses opaque keys with any prefix and length. It cannot issue
/// keys.
///
/// `out_format`: receives a handle. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_any_opaque(
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
) -> keystile_status {
    guard(|| {
        let format = KeyFormat::any_opaque();
        non_null(out_format)?.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Creates the format that a record's key was issued in, as far as its key prefix shows
/// it.
///
/// `out_format`: receives a handle. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_like(
    record: Option<&keystile_record>,
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, out_format) = (non_null(record)?, non_null(out_format)?);
        let format = KeyFormat::like(&record.0)?;
        out_format.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Copies a structured format and gives the copy a keyed checksum. Only holders of the
/// checksum key can compute it, so invented keys are refused without a lookup.
///
/// `checksum_key`, `checksum_key_len`: 16 bytes or more, kept secret. The library keeps
/// what it derives from them, not the bytes.
/// `out_format`: receives a new handle; `format` does not change.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_format_with_checksum_key(
    format: Option<&keystile_format>,
    checksum_key: *const u8,
    checksum_key_len: usize,
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (format, out_format) = (non_null(format)?, non_null(out_format)?);
        let checksum = Checksum::keyed(bytes!(checksum_key, checksum_key_len)?)?;
        let format = format.0.clone().with_checksum(checksum)?;
        out_format.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Copies an opaque format and gives the copy another number of random bytes: 16 to 64.
///
/// `out_format`: receives a new handle; `format` does not change.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_with_random_bytes(
    format: Option<&keystile_format>,
    random_bytes: u8,
    out_format: Option<&mut MaybeUninit<Option<Box<keystile_format>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (format, out_format) = (non_null(format)?, non_null(out_format)?);
        let format = format.0.clone().with_random_bytes(random_bytes)?;
        out_format.write(Some(Box::new(keystile_format(format))));
        Ok(())
    })
}

/// Reads the prefix of a format, borrowed from it.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` for a format that accepts any
/// prefix.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_prefix(
    format: Option<&keystile_format>,
    out_prefix: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (format, out_prefix) = (non_null(format)?, non_null(out_prefix)?);
        let prefix = format.0.prefix().ok_or(KEYSTILE_ERROR_ABSENT)?;
        out_prefix.write(keystile_str::of(prefix.as_str()));
        Ok(())
    })
}

/// Checks whether keys of a format are structured: they have a public id and a check. False for
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_is_structured(format: Option<&keystile_format>) -> bool {
    guard_or(false, || Some(format?.0.is_structured()))
}

/// Frees a format; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_format_free(format: Option<Box<keystile_format>>) {
    release(format);
}
