//! A denial as an HTTP response: status, headers and JSON body.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::decision::answer::{Allowed, Denial, DenialCode};
use crate::policy::rate_limit::Quota;
use crate::policy::requirement::Requirement;
use crate::time::UnixMillis;

/// Which status a denial is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusPolicy {
    /// As RFC 9110 has it: 401 for a key that is not valid, 403 for one that may not.
    #[default]
    Rfc9110,
    /// As the well-known Express recipe has it: 403 for an unknown or ended key.
    Express,
}

/// A response to a request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Header fields, in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON object with `error`, `message` and `code`, and `missing` where permissions
    /// were.
    pub body: String,
}

impl DenialCode {
    /// The HTTP status under a policy.
    #[must_use]
    pub const fn status(self, policy: StatusPolicy) -> u16 {
        let express = matches!(policy, StatusPolicy::Express);
        match self {
            Self::MissingCredential => 401,
            Self::ConflictingCredentials => {
                if express {
                    401
                } else {
                    400
                }
            }
            Self::InvalidKey
            | Self::KeyRevoked
            | Self::KeySuspended
            | Self::KeyExpired
            | Self::KeyReplaced => {
                if express {
                    403
                } else {
                    401
                }
            }
            Self::WrongEnvironment
            | Self::NetworkNotAllowed
            | Self::PathNotCanonical
            | Self::EndpointNotAllowed
            | Self::PermissionMissing => 403,
            Self::RateLimited | Self::UsesSpent => 429,
            Self::StoreUnavailable => 503,
        }
    }

    /// A short name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::MissingCredential => "API key required",
            Self::ConflictingCredentials => "Conflicting API keys",
            Self::InvalidKey => "Invalid API key",
            Self::KeyRevoked => "API key revoked",
            Self::KeySuspended => "API key suspended",
            Self::KeyExpired => "API key expired",
            Self::KeyReplaced => "API key replaced",
            Self::WrongEnvironment => "Wrong environment",
            Self::NetworkNotAllowed => "Network not allowed",
            Self::PathNotCanonical => "Path not canonical",
            Self::EndpointNotAllowed => "Endpoint not allowed",
            Self::PermissionMissing => "Insufficient permissions",
            Self::RateLimited => "Too many requests",
            Self::UsesSpent => "No uses left",
            Self::StoreUnavailable => "Key check unavailable",
        }
    }

    /// What the sender can do about it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::MissingCredential => {
                "Send an API key in the X-API-Key header or as a Bearer token."
            }
            Self::ConflictingCredentials => "The request carries two different API keys; send one.",
            Self::InvalidKey => "The API key is not valid; check that it was copied whole.",
            Self::KeyRevoked => "The API key was revoked; ask for a new one.",
            Self::KeySuspended => "The API key is suspended; ask its issuer.",
            Self::KeyExpired => "The API key has expired; ask for a new one.",
            Self::KeyReplaced => "The API key was replaced; use its successor.",
            Self::WrongEnvironment => "The API key belongs to another environment.",
            Self::NetworkNotAllowed => "The API key may not be used from this network.",
            Self::PathNotCanonical => {
                "The path must be sent without empty or dot segments and needless escapes."
            }
            Self::EndpointNotAllowed => "The API key may not be used for this method and path.",
            Self::PermissionMissing => "The API key lacks a permission that this needs.",
            Self::RateLimited => "The rate limit of the API key is spent; try again later.",
            Self::UsesSpent => "The API key has been used as often as it may be.",
            Self::StoreUnavailable => "API keys cannot be checked at the moment; try again later.",
        }
    }
}

/// The response to a denial.
///
/// `requirement` is the one that the request was judged by; it names what is missing.
///
/// ```
/// use keystile::{respond, CredentialExtractor, StatusPolicy};
/// let denial = CredentialExtractor::new().extract([]).unwrap_err();
/// let response = respond(&denial, StatusPolicy::Rfc9110, None);
/// assert_eq!(response.status, 401);
/// assert!(response.headers.iter().any(|(name, _)| *name == "www-authenticate"));
/// assert!(response.body.contains(r#""code":"missing_credential""#));
/// ```
#[must_use]
pub fn respond(
    denial: &Denial,
    policy: StatusPolicy,
    requirement: Option<&Requirement>,
) -> Response {
    let code = denial.code();
    let status = code.status(policy);
    // A denial is never to be kept by a cache between.
    let mut headers = Vec::from([
        ("content-type", "application/json".to_string()),
        ("cache-control", "no-store".to_string()),
    ]);
    if status == 401 {
        // RFC 6750, section 3: no error code where no credential was sent.
        let challenge = match code {
            DenialCode::MissingCredential => "Bearer",
            _ => "Bearer error=\"invalid_token\"",
        };
        headers.push(("www-authenticate", challenge.to_string()));
    }
    if let Some(wait) = denial.retry_after() {
        headers.push(("retry-after", wait.secs_ceil().max(1).to_string()));
    }
    if let Some(quota) = denial.quota() {
        limit_headers(quota, &mut headers);
    }
    let mut body = String::new();
    // Writing to a string cannot fail; titles, messages, codes and permissions hold
    // nothing that JSON would have to escape.
    let _ = write!(
        body,
        r#"{{"error":"{}","message":"{}","code":"{}""#,
        code.title(),
        code.message(),
        code.as_str()
    );
    let mut separator = r#","missing":["#;
    for permission in requirement
        .into_iter()
        .flat_map(|asked| denial.missing(asked))
    {
        let _ = write!(body, r#"{separator}"{permission}""#);
        separator = ",";
    }
    body.push_str(if separator == "," { "]}" } else { "}" });
    Response {
        status,
        headers,
        body,
    }
}

/// Header fields for the response to a request that was allowed: the rate limit, and
/// `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) where the key is being replaced.
#[must_use]
pub fn allowed_headers(allowed: &Allowed, now: UnixMillis) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some(quota) = &allowed.quota {
        limit_headers(quota, &mut headers);
    }
    if let Some(notice) = &allowed.notice {
        headers.push(("deprecation", alloc::format!("@{}", now.get() / 1_000)));
        headers.push(("sunset", http_date(notice.until)));
    }
    headers
}

/// The three fields that clients know, and the policy in the form of the IETF draft.
fn limit_headers(quota: &Quota, headers: &mut Vec<(&'static str, String)>) {
    let limit = quota.limit();
    headers.push(("ratelimit-limit", limit.limit().to_string()));
    headers.push(("ratelimit-remaining", quota.remaining().to_string()));
    headers.push(("ratelimit-reset", quota.reset().secs_ceil().to_string()));
    let window = limit.window().secs_ceil();
    headers.push((
        "ratelimit-policy",
        alloc::format!("{};w={window}", limit.limit()),
    ));
}

/// RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(instant: UnixMillis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or_default()
    };
    let seconds = instant.get() / 1_000;
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // The proleptic Gregorian calendar, from years of 400 that begin on a first of March
    // (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let since = days.saturating_add(719_468);
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year_of_era = of_era
        .saturating_sub(of_era / 1_460)
        .saturating_add(of_era / 36_524)
        .saturating_sub(of_era / 146_096)
        / 365;
    let day_of_year = of_era.saturating_sub(
        year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100),
    );
    let month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = day_of_year
        .saturating_sub(month.saturating_mul(153).saturating_add(2) / 5)
        .saturating_add(1);
    // March is month 0 here; January and February belong to the next year.
    let year = era
        .saturating_mul(400)
        .saturating_add(year_of_era)
        .saturating_add(u64::from(month >= 10));
    alloc::format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month.saturating_add(2) % 12),
        clock / 3_600,
        clock / 60 % 60,
        clock % 60,
    )
}
