//! The permissions that a route requires.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::Requirement;

use crate::boundary::{guard, non_null, release, text};
use crate::error::{guard_saying, keystile_error};
use crate::permission::keystile_permissions;
use crate::status::keystile_status::{self, *};
use crate::text::{keystile_str, nth};

/// What a route requires: permissions joined by AND, OR and parentheses. Handle; it
/// never changes, and threads may share it. Create one for each route, at the start of
/// the program.
#[derive(Debug)]
pub struct keystile_requirement(pub(crate) Requirement);

/// Parses a requirement, such as `read` or `admin OR (read AND audit)`.
///
/// AND binds tighter than OR; keywords are in upper case; wildcards are not allowed.
/// `out_requirement`: receives a handle; free it with `keystile_requirement_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_PERMISSION`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_requirement_parse(
    text: *const c_char,
    text_len: usize,
    out_requirement: Option<&mut MaybeUninit<Option<Box<keystile_requirement>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_requirement = non_null(out_requirement)?;
        let requirement = Requirement::parse(text!(text, text_len)?)?;
        out_requirement.write(Some(Box::new(keystile_requirement(requirement))));
        Ok(())
    })
}

/// Checks whether permissions satisfy a requirement.
///
/// Returns `KEYSTILE_OK` if they do, otherwise `KEYSTILE_DENIED_PERMISSION`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_requirement_check(
    requirement: Option<&keystile_requirement>,
    permissions: Option<&keystile_permissions>,
) -> keystile_status {
    guard(|| {
        let met = non_null(requirement)?
            .0
            .is_satisfied_by(&non_null(permissions)?.0);
        met.then_some(()).ok_or(KEYSTILE_DENIED_PERMISSION)
    })
}

/// Reads the missing permission at an index; borrowed from the requirement. Each is
/// listed once.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_requirement_missing_at(
    requirement: Option<&keystile_requirement>,
    permissions: Option<&keystile_permissions>,
    index: usize,
    out_permission: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (requirement, permissions) = (non_null(requirement)?, non_null(permissions)?);
        let missing = requirement.0.missing(&permissions.0);
        nth(missing, index, out_permission)
    })
}

/// Reads the text that a requirement was parsed from, borrowed from it. Returns
/// `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_requirement_text(
    requirement: Option<&keystile_requirement>,
    out_text: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (requirement, out_text) = (non_null(requirement)?, non_null(out_text)?);
        out_text.write(keystile_str::of(requirement.0.as_str()));
        Ok(())
    })
}

/// Frees a requirement; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_requirement_free(requirement: Option<Box<keystile_requirement>>) {
    release(requirement);
}
