//! Templates, rate limits and rotation policies as JSON, for a column of a table. A requirement is
//! its own text.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{RateLimit, RotationPolicy, ScopeTemplate};

use crate::boundary::{fill, guard, non_null, put_sized, size_of_output, text};
use crate::error::{Failure, guard_saying, keystile_error};
use crate::limit::keystile_rate_limit;
use crate::rotate::{KEYSTILE_NOTICE_LEADS_MAX, keystile_rotation_policy, policy_or_default};
use crate::status::keystile_status::{self, *};
use crate::template::keystile_template;

/// Formats a template as JSON, as the other languages read it.
///
/// `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask for the
/// length.
/// `out_needed`: receives the length of the text, also if the buffer is too small.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_template_to_json(
    template: Option<&keystile_template>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(template)?.0)?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Parses a template from the JSON text that `keystile_template_to_json`, or keystile in another
/// language, wrote.
///
/// `out_template`: receives a handle; free it with `keystile_template_free`. Returns `KEYSTILE_OK`
/// or `KEYSTILE_ERROR_JSON`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_template_from_json(
    json: *const c_char,
    json_len: usize,
    out_template: Option<&mut MaybeUninit<Option<Box<keystile_template>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_template = non_null(out_template)?;
        let template: ScopeTemplate = serde_json::from_str(text!(json, json_len)?)?;
        out_template.write(Some(Box::new(keystile_template(template))));
        Ok(())
    })
}

/// Formats a rate limit as JSON. Arguments and result as for `keystile_template_to_json`;
/// `KEYSTILE_ERROR_LIMIT` if it is not well formed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rate_limit_to_json(
    limit: Option<&keystile_rate_limit>,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let json = serde_json::to_string(&non_null(limit)?.core()?)?;
        fill!(&json, buffer, buffer_len, out_needed)
    })
}

/// Parses a rate limit from its JSON. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_JSON`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rate_limit_from_json(
    json: *const c_char,
    json_len: usize,
    out_limit: Option<&mut MaybeUninit<keystile_rate_limit>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_limit = non_null(out_limit)?;
        let limit: RateLimit = serde_json::from_str(text!(json, json_len)?)?;
        out_limit.write(keystile_rate_limit::of(&limit));
        Ok(())
    })
}

/// Formats a rotation policy as JSON, without what belongs to a single rotation: a lifetime, a latest
/// end and the lifetimes of the service.
///
/// `policy`: NULL for the default. The other arguments and the result as for
/// `keystile_template_to_json`; otherwise the error of the field that is not well formed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rotation_policy_to_json(
    policy: *const keystile_rotation_policy,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let json = serde_json::to_string(&policy_or_default(policy)?)?;
        Ok(fill!(&json, buffer, buffer_len, out_needed)?)
    })
}

/// Parses a rotation policy from its JSON.
///
/// `out_policy`: set its `struct_size` before the call.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_JSON`, also for more than 8 lead times; or
/// `KEYSTILE_ERROR_STRUCT_SIZE`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rotation_policy_from_json(
    json: *const c_char,
    json_len: usize,
    out_policy: *mut keystile_rotation_policy,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let text = text!(json, json_len)?;
        size_of_output!(out_policy)?;
        let policy: RotationPolicy = serde_json::from_str(text)?;
        if policy.notice_leads().len() > KEYSTILE_NOTICE_LEADS_MAX {
            let expected = "a policy must have at most 8 lead times of notices";
            let failure = Failure::new(KEYSTILE_ERROR_JSON, expected);
            return Err(failure.in_field("notice_leads"));
        }
        Ok(put_sized!(
            out_policy,
            keystile_rotation_policy::of(&policy)
        )?)
    })
}
