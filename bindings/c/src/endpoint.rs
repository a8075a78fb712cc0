//! Which methods and paths a key may be used on.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{EndpointRules, PathProfile, is_method};

use crate::boundary::{
    bytes, fill, guard, guard_or, list, non_null, release, text, transparent_handle,
};
use crate::error::{Failure, guard_saying, keystile_error};
use crate::status::keystile_status::{self, *};
use crate::text::{json_texts, keystile_str, nth, texts};

/// The endpoint rules of a key. An empty list allows no endpoint; no list (NULL) does
/// not restrict. Handle; it never changes, and threads may share it.
#[repr(transparent)]
#[derive(Debug)]
pub struct keystile_endpoints(pub(crate) EndpointRules);

transparent_handle!(keystile_endpoints, EndpointRules);

/// Creates endpoint rules from a list of texts.
///
/// `items`, `items_len`: up to 64 rules of at most 512 bytes, such as `/api/data/7` or
/// `GET,HEAD /api/data/7`. A `*` instead of a segment matches any one segment; at the
/// end of the path it matches everything that follows. 0 items are an empty list.
/// `out_endpoints`: receives a handle; free it with `keystile_endpoints_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_ENDPOINT`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_endpoints_new(
    items: *const keystile_str,
    items_len: usize,
    out_endpoints: Option<&mut MaybeUninit<Option<Box<keystile_endpoints>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_endpoints = non_null(out_endpoints)?;
        let endpoints = EndpointRules::new(texts(list!(items, items_len)?, "allowed_endpoints")?)?;
        out_endpoints.write(Some(Box::new(keystile_endpoints(endpoints))));
        Ok(())
    })
}

/// Creates endpoint rules from a JSON array of strings, such as a column of a table.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` if the text is not such an array or
/// an item is not an endpoint rule.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_endpoints_from_json(
    json: *const c_char,
    json_len: usize,
    out_endpoints: Option<&mut MaybeUninit<Option<Box<keystile_endpoints>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_endpoints = non_null(out_endpoints)?;
        let items = json_texts(text!(json, json_len)?, "allowed_endpoints")?;
        let endpoints =
            EndpointRules::new(items).map_err(|error| Failure::from(error).in_json())?;
        out_endpoints.write(Some(Box::new(keystile_endpoints(endpoints))));
        Ok(())
    })
}

/// Formats endpoint rules as a JSON array of strings, for a column of a table.
///
/// `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
/// for the length.
/// `out_needed`: receives the length of the text, also if the buffer is too small.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_endpoints_to_json(
    endpoints: Option<&keystile_endpoints>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(endpoints)?.0)?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Returns the number of rules; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_endpoints_count(endpoints: Option<&keystile_endpoints>) -> usize {
    guard_or(0, || Some(endpoints?.0.iter().count()))
}

/// Reads the rule at an index, in the order in which they were first given; borrowed
/// from the list.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_endpoints_at(
    endpoints: Option<&keystile_endpoints>,
    index: usize,
    out_text: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| nth(non_null(endpoints)?.0.iter(), index, out_text))
}

/// Checks whether a rule allows a method on a path.
///
/// `method`, `method_len` and `path`, `path_len`: as they are dispatched; the path
/// without its query.
///
/// Returns `KEYSTILE_OK` if a rule does, otherwise `KEYSTILE_DENIED_ENDPOINT`, also for
/// a path that is not canonical.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_endpoints_allow(
    endpoints: Option<&keystile_endpoints>,
    method: *const c_char,
    method_len: usize,
    path: *const c_char,
    path_len: usize,
) -> keystile_status {
    guard(|| {
        let endpoints = &non_null(endpoints)?.0;
        let allowed = endpoints.allows(text!(method, method_len)?, text!(path, path_len)?);
        allowed.then_some(()).ok_or(KEYSTILE_DENIED_ENDPOINT)
    })
}

/// Which request paths a service accepts. It is chosen by the service, never by a client.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_path_profile {
    /// Only canonical paths.
    KEYSTILE_PATH_PROFILE_STRICT = 0,
    /// `%2F` too, as data inside a segment and never as a separator, as in npm's scoped
    /// packages. No piece between such slashes may be empty, `.` or `..`.
    KEYSTILE_PATH_PROFILE_ENCODED_SLASH_IS_DATA = 1,
}

use keystile_path_profile::*;

/// Checks whether a request path is canonical. One that is not is refused by all rules.
///
/// `profile`: a `keystile_path_profile`.
/// `path`, `path_len`: any bytes.
///
/// Returns `KEYSTILE_OK` if it is, otherwise `KEYSTILE_DENIED_PATH_NOT_CANONICAL`;
/// `KEYSTILE_ERROR_VALUE` if `profile` is not a `keystile_path_profile`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_path_check(
    profile: u32,
    path: *const c_char,
    path_len: usize,
) -> keystile_status {
    guard(|| {
        let profile = core_path_profile(profile)?;
        profile
            .accepts(bytes!(path, path_len)?)
            .then_some(())
            .ok_or(KEYSTILE_DENIED_PATH_NOT_CANONICAL)
    })
}

/// Checks whether a method is spelled as in endpoint rules: 1 to 32 characters of `A-Z`,
/// `0-9`, `-` or `_`, starting with a letter. No rule allows one that is not.
///
/// `method`, `method_len`: any bytes.
///
/// Returns `KEYSTILE_OK` if it is, otherwise `KEYSTILE_ERROR_ENDPOINT`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_method_check(
    method: *const c_char,
    method_len: usize,
) -> keystile_status {
    guard(|| {
        let method = core::str::from_utf8(bytes!(method, method_len)?);
        method
            .is_ok_and(is_method)
            .then_some(())
            .ok_or(KEYSTILE_ERROR_ENDPOINT)
    })
}

/// Frees a list of rules; NULL is allowed. Do not free a list that another handle lent.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_endpoints_free(endpoints: Option<Box<keystile_endpoints>>) {
    release(endpoints);
}

pub(crate) fn core_path_profile(number: u32) -> Result<PathProfile, keystile_status> {
    const STRICT: u32 = KEYSTILE_PATH_PROFILE_STRICT as u32;
    const ENCODED_SLASH_IS_DATA: u32 = KEYSTILE_PATH_PROFILE_ENCODED_SLASH_IS_DATA as u32;
    match number {
        STRICT => Ok(PathProfile::Strict),
        ENCODED_SLASH_IS_DATA => Ok(PathProfile::EncodedSlashIsData),
        _ => Err(KEYSTILE_ERROR_VALUE),
    }
}
