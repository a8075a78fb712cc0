//! Named bundles of what a key may do.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{ScopeTemplate, TemplateName};

use crate::boundary::{guard, guard_or, non_null, release, text};
use crate::endpoint::keystile_endpoints;
use crate::error::{guard_saying, keystile_error};
use crate::limit::keystile_rate_limit;
use crate::permission::keystile_permissions;
use crate::status::keystile_status::{self, *};
use crate::text::keystile_str;

/// A name for permissions, a rate limit and endpoint rules. Handle; it never changes,
/// and threads may share it.
#[derive(Debug)]
pub struct keystile_template(pub(crate) ScopeTemplate);

/// Creates a template.
///
/// `name`, `name_len`: 1 to 32 of a-z, 0-9, `_` and `-`, starting with a letter.
/// `permissions`: the permissions that it grants; copied.
/// `endpoints`: the endpoints that it restricts keys to; NULL for all; copied.
/// `rate_limit`: the rate limit; NULL for unlimited.
/// `out_template`: receives a handle; free it with `keystile_template_free`.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_NAME` or `KEYSTILE_ERROR_LIMIT`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_template_new(
    name: *const c_char,
    name_len: usize,
    permissions: Option<&keystile_permissions>,
    endpoints: Option<&keystile_endpoints>,
    rate_limit: Option<&keystile_rate_limit>,
    out_template: Option<&mut MaybeUninit<Option<Box<keystile_template>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (permissions, out_template) = (non_null(permissions)?, non_null(out_template)?);
        let name = TemplateName::new(text!(name, name_len)?)?;
        let mut template = ScopeTemplate::new(name, permissions.0.clone());
        template.allowed_endpoints = endpoints.map(|endpoints| endpoints.0.clone());
        template.rate_limit = rate_limit.map(keystile_rate_limit::core).transpose()?;
        out_template.write(Some(Box::new(keystile_template(template))));
        Ok(())
    })
}

/// Creates one of the presets: `monitoring` (read; 100 requests an hour; `/api/metrics`
/// and below), `integration` (read, write; 1,000; `/api/data` and below) or `admin`
/// (read, write, delete, admin; 5,000; all endpoints).
///
/// `out_template`: receives a handle. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT`
/// if there is no preset of that name.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_template_preset(
    name: *const c_char,
    name_len: usize,
    out_template: Option<&mut MaybeUninit<Option<Box<keystile_template>>>>,
) -> keystile_status {
    guard(|| {
        let out_template = non_null(out_template)?;
        let template = ScopeTemplate::preset(text!(name, name_len)?);
        let template = keystile_template(template.ok_or(KEYSTILE_ERROR_ABSENT)?);
        out_template.write(Some(Box::new(template)));
        Ok(())
    })
}

/// Reads the name of a template, borrowed from it. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_template_name(
    template: Option<&keystile_template>,
    out_name: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (template, out_name) = (non_null(template)?, non_null(out_name)?);
        out_name.write(keystile_str::of(template.0.name.as_str()));
        Ok(())
    })
}

/// Returns the permissions of a template, which it lends: do not free them. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_template_permissions(
    template: Option<&keystile_template>,
) -> Option<&keystile_permissions> {
    guard_or(None, || {
        Some(Some(keystile_permissions::lend(&template?.0.permissions)))
    })
}

/// Returns the endpoint rules of a template, which it lends: do not free them. NULL if
/// it does not restrict endpoints, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_template_endpoints(
    template: Option<&keystile_template>,
) -> Option<&keystile_endpoints> {
    guard_or(None, || {
        let endpoints = template?.0.allowed_endpoints.as_ref();
        Some(endpoints.map(keystile_endpoints::lend))
    })
}

/// Reads the rate limit of a template.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is none.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_template_rate_limit(
    template: Option<&keystile_template>,
    out_rate_limit: Option<&mut MaybeUninit<keystile_rate_limit>>,
) -> keystile_status {
    guard(|| {
        let (template, out_rate_limit) = (non_null(template)?, non_null(out_rate_limit)?);
        let limit = template.0.rate_limit.ok_or(KEYSTILE_ERROR_ABSENT)?;
        out_rate_limit.write(keystile_rate_limit::of(&limit));
        Ok(())
    })
}

/// Frees a template; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_template_free(template: Option<Box<keystile_template>>) {
    release(template);
}
