//! The permissions of a key.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::PermissionSet;

use crate::boundary::{fill, guard, guard_or, list, non_null, release, text, transparent_handle};
use crate::error::{Failure, guard_saying, keystile_error};
use crate::status::keystile_status::{self, *};
use crate::text::{json_texts, keystile_str, nth, texts};

/// The permissions that a key was granted. Handle; it never changes, and threads may
/// share it.
#[repr(transparent)]
#[derive(Debug)]
pub struct keystile_permissions(pub(crate) PermissionSet);

transparent_handle!(keystile_permissions, PermissionSet);

/// Creates a set of permissions from a list of texts.
///
/// `items`, `items_len`: up to 64 permissions of at most 128 bytes, such as `read`,
/// `invoices:read` and `invoices:*`; 0 items are an empty set.
/// `out_permissions`: receives a handle; free it with `keystile_permissions_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_PERMISSION`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_permissions_new(
    items: *const keystile_str,
    items_len: usize,
    out_permissions: Option<&mut MaybeUninit<Option<Box<keystile_permissions>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_permissions = non_null(out_permissions)?;
        let permissions = PermissionSet::new(texts(list!(items, items_len)?, "permissions")?)?;
        out_permissions.write(Some(Box::new(keystile_permissions(permissions))));
        Ok(())
    })
}

/// Creates a set of permissions from a JSON array of strings, such as a column of a
/// table.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` if the text is not such an array or
/// an item is not a permission.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_permissions_from_json(
    json: *const c_char,
    json_len: usize,
    out_permissions: Option<&mut MaybeUninit<Option<Box<keystile_permissions>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_permissions = non_null(out_permissions)?;
        let items = json_texts(text!(json, json_len)?, "permissions")?;
        let permissions =
            PermissionSet::new(items).map_err(|error| Failure::from(error).in_json())?;
        out_permissions.write(Some(Box::new(keystile_permissions(permissions))));
        Ok(())
    })
}

/// Formats permissions as a JSON array of strings, for a column of a table.
///
/// `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
/// for the length.
/// `out_needed`: receives the length of the text, also if the buffer is too small.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_permissions_to_json(
    permissions: Option<&keystile_permissions>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(permissions)?.0)?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Returns the number of permissions; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_permissions_count(permissions: Option<&keystile_permissions>) -> usize {
    guard_or(0, || Some(permissions?.0.iter().count()))
}

/// Reads the permission at an index, in the order in which they were first given;
/// borrowed from the set.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_permissions_at(
    permissions: Option<&keystile_permissions>,
    index: usize,
    out_text: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| nth(non_null(permissions)?.0.iter(), index, out_text))
}

/// Checks whether a permission is granted.
///
/// `wanted`, `wanted_len`: a permission without a wildcard. A text that is not one is
/// never granted.
///
/// Returns `KEYSTILE_OK` if it is granted, otherwise `KEYSTILE_DENIED_PERMISSION`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_permissions_grant(
    permissions: Option<&keystile_permissions>,
    wanted: *const c_char,
    wanted_len: usize,
) -> keystile_status {
    guard(|| {
        let permissions = &non_null(permissions)?.0;
        let granted = permissions.grants(text!(wanted, wanted_len)?);
        granted.then_some(()).ok_or(KEYSTILE_DENIED_PERMISSION)
    })
}

/// Frees a set of permissions; NULL is allowed. Do not free a set that another handle
/// lent.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_permissions_free(permissions: Option<Box<keystile_permissions>>) {
    release(permissions);
}
