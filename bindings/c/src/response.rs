//! A decision as an HTTP response.

use core::mem::MaybeUninit;

use keystile::{Decision, RateLimitFields, ResponsePolicy, StatusPolicy, allowed_headers, respond};

use crate::boundary::{guard, guard_or, non_null, release};
use crate::credential::keystile_credential_extractor;
use crate::decision::keystile_decision;
use crate::requirement::keystile_requirement;
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_str};

/// Which HTTP status a refusal gets.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_status_policy {
    /// As in RFC 9110: 401 for a key that is not valid, 403 for a key that may not do
    /// this.
    KEYSTILE_STATUS_POLICY_RFC9110 = 0,
    /// As in the Express recipe for API keys: 403 also for an unknown, expired or
    /// revoked key.
    KEYSTILE_STATUS_POLICY_EXPRESS = 1,
}

/// Which header fields tell a client about its rate limit. All say the same, in whole
/// seconds; times are rounded up.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_rate_limit_fields {
    /// `RateLimit-Limit`, `-Remaining`, `-Reset` and `-Policy`, as in drafts 3 to 6 of
    /// draft-ietf-httpapi-ratelimit-headers.
    KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6 = 0,
    /// `RateLimit` and `RateLimit-Policy`, as in draft 7.
    KEYSTILE_RATE_LIMIT_FIELDS_DRAFT7 = 1,
    /// `RateLimit` and `RateLimit-Policy`, as in drafts 8 to 10.
    KEYSTILE_RATE_LIMIT_FIELDS_DRAFT8 = 2,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`; the last is the Unix time in seconds.
    KEYSTILE_RATE_LIMIT_FIELDS_X = 3,
}

use keystile_rate_limit_fields::*;
use keystile_status_policy::*;

/// A status, header fields and a JSON body. Handle; it never changes, and threads may
/// share it.
#[derive(Debug)]
pub struct keystile_response {
    status: u16,
    /// Names and values, each followed by a NUL.
    headers: Vec<(String, String)>,
    body: String,
}

/// Creates the response to a refusal or, for an allowed request, the header fields to
/// add to your own response: what is left of the rate limit, and that the key is being
/// replaced.
///
/// `decision`: as a function of this library wrote it.
/// `policy`: a `keystile_status_policy`.
/// `fields`: a `keystile_rate_limit_fields`.
/// `requirement`: the one that the request was checked against, to name what is
/// missing; may be NULL.
/// `extractor`: the one that reads the key: `www-authenticate` of a 401 names its sources. With
/// NULL it names the default ones.
/// `now`: milliseconds since 1970.
/// `out_response`: receives a handle; free it with `keystile_response_free`.
///
/// Returns `KEYSTILE_OK`, also for a zeroed decision: its response is that of
/// `KEYSTILE_CAUSE_STORE_UNAVAILABLE`. `KEYSTILE_ERROR_VALUE` if no function wrote the decision, or
/// if `policy` is not a `keystile_status_policy` or `fields` not a
/// `keystile_rate_limit_fields`; `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_respond(
    decision: Option<&keystile_decision>,
    policy: u32,
    fields: u32,
    requirement: Option<&keystile_requirement>,
    extractor: Option<&keystile_credential_extractor>,
    now: u64,
    out_response: Option<&mut MaybeUninit<Option<Box<keystile_response>>>>,
) -> keystile_status {
    guard(|| {
        let (decision, out_response) = (non_null(decision)?, non_null(out_response)?);
        let decision = decision.core_or_refusal()?;
        let policy = ResponsePolicy::new(core_policy(policy)?, core_fields(fields)?);
        let now = instant(now)?;
        let requirement = requirement.map(|requirement| &requirement.0);
        let response = match decision {
            Decision::Allow(allowed) => {
                let headers = allowed_headers(&allowed, policy.rate_limit_fields, now);
                keystile_response::of(200, headers, String::new())
            }
            Decision::Deny(denial) => {
                let response = respond(&denial, policy, requirement);
                let response = match extractor {
                    Some(extractor) => response.with_sources(extractor.0.sources()),
                    None => response,
                };
                keystile_response::of(response.status, response.headers, response.body)
            }
        };
        out_response.write(Some(Box::new(response)));
        Ok(())
    })
}

/// Returns the HTTP status of a response; 200 for an allowed request; 500 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_response_status(response: Option<&keystile_response>) -> u16 {
    guard_or(500, || Some(response?.status))
}

/// Returns the number of header fields; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_response_header_count(response: Option<&keystile_response>) -> usize {
    guard_or(0, || Some(response?.headers.len()))
}

/// Reads the header field at an index; its name is in lower case. Both texts are
/// borrowed from the response.
///
/// Each text is followed by a NUL that its length does not count.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_response_header_at(
    response: Option<&keystile_response>,
    index: usize,
    out_name: Option<&mut MaybeUninit<keystile_str>>,
    out_value: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (response, out_name, out_value) = (
            non_null(response)?,
            non_null(out_name)?,
            non_null(out_value)?,
        );
        let (name, value) = response.headers.get(index).ok_or(KEYSTILE_ERROR_INDEX)?;
        out_name.write(keystile_str::of(name.trim_end_matches('\0')));
        out_value.write(keystile_str::of(value.trim_end_matches('\0')));
        Ok(())
    })
}

/// Reads the body, borrowed from the response; empty for an allowed request. It is a
/// JSON object with `error`, `message` and `code`, and with `missing` if permissions
/// are missing.
///
/// Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_response_body(
    response: Option<&keystile_response>,
    out_body: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (response, out_body) = (non_null(response)?, non_null(out_body)?);
        out_body.write(keystile_str::of(&response.body));
        Ok(())
    })
}

/// Frees a response; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_response_free(response: Option<Box<keystile_response>>) {
    release(response);
}

impl keystile_response {
    fn of(status: u16, headers: Vec<(&'static str, String)>, body: String) -> Self {
        let headers = headers
            .into_iter()
            .map(|(name, value)| (format!("{name}\0"), format!("{value}\0")))
            .collect();
        Self {
            status,
            headers,
            body,
        }
    }
}

pub(crate) fn core_policy(number: u32) -> Result<StatusPolicy, keystile_status> {
    match number {
        number if number == KEYSTILE_STATUS_POLICY_RFC9110 as u32 => Ok(StatusPolicy::Rfc9110),
        number if number == KEYSTILE_STATUS_POLICY_EXPRESS as u32 => Ok(StatusPolicy::Express),
        _ => Err(KEYSTILE_ERROR_VALUE),
    }
}

fn core_fields(number: u32) -> Result<RateLimitFields, keystile_status> {
    let is = |form: keystile_rate_limit_fields| number == form as u32;
    match () {
        () if is(KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6) => Ok(RateLimitFields::Draft6),
        () if is(KEYSTILE_RATE_LIMIT_FIELDS_DRAFT7) => Ok(RateLimitFields::Draft7),
        () if is(KEYSTILE_RATE_LIMIT_FIELDS_DRAFT8) => Ok(RateLimitFields::Draft8),
        () if is(KEYSTILE_RATE_LIMIT_FIELDS_X) => Ok(RateLimitFields::X),
        () => Err(KEYSTILE_ERROR_VALUE),
    }
}
