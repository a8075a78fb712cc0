//! A denial as an HTTP response: status, headers and JSON body.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::decision::allowed::Allowed;
use crate::decision::credential_sources::CredentialSources;
use crate::decision::dates::http_date;
use crate::decision::denial::Denial;
use crate::decision::denial_code::DenialCode;
use crate::decision::rate_limit_fields::RateLimitFields;
use crate::decision::response_policy::ResponsePolicy;
use crate::policy::requirement::Requirement;
use crate::time::{Millis, UnixMillis};

/// How long a client waits before it tries an unavailable store again.
const STORE_RETRY: Millis = Millis::from_secs(1);

/// A response to a request that was refused.
///
/// ```
/// use keystile::{respond, Cause, Denial, StatusPolicy};
/// let denial = Denial::new(Cause::StoreUnavailable);
/// let response = respond(&denial, StatusPolicy::Rfc9110, None);
/// assert_eq!(response.status, 503);
/// assert!(response.headers.contains(&("retry-after", "1".to_owned())));
/// assert!(response.body.starts_with(r#"{"error":"Key check unavailable","#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Header fields, in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// A JSON object with `error`, `message` and `code`, and `missing` if permissions are
    /// missing.
    pub body: String,
    code: DenialCode,
}

impl Response {
    /// The same response, whose `www-authenticate` names these sources instead of the default
    /// ones, if it has that field. If there is no source at all, it is not changed.
    ///
    /// ```
    /// use keystile::{respond, Cause, CredentialSources, Denial, StatusPolicy};
    /// let own = CredentialSources::none().with_header("X-Acme-Key")?;
    /// let challenge = |denial| {
    ///     let response = respond(&denial, StatusPolicy::Rfc9110, None).with_sources(&own);
    ///     let mut fields = response.headers.into_iter();
    ///     fields.find(|(name, _)| *name == "www-authenticate").map(|(_, value)| value)
    /// };
    /// let missing = challenge(Denial::new(Cause::MissingCredential));
    /// assert_eq!(missing.as_deref(), Some(r#"ApiKey header="X-Acme-Key""#));
    /// let unavailable = challenge(Denial::new(Cause::StoreUnavailable));
    /// assert_eq!(unavailable, None, "only a 401 has it");
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn with_sources(mut self, sources: &CredentialSources) -> Self {
        let mut fields = self.headers.iter_mut();
        let challenge = fields.find(|(name, _)| *name == "www-authenticate");
        if let Some((_, value)) = challenge.filter(|_| !sources.is_empty()) {
            *value = sources.challenge(self.code);
        }
        self
    }
}

/// The response to a denial.
///
/// `policy` may be a [`StatusPolicy`](crate::StatusPolicy) alone. `requirement` is the one that the request was judged by; it names what is missing. If a
/// later request may succeed, `retry-after` is set: by the rate limit, or to one second
/// if the store is unavailable.
///
/// ```
/// use keystile::{respond, Cause, Denial, StatusPolicy};
/// let denial = Denial::new(Cause::MissingCredential);
/// let response = respond(&denial, StatusPolicy::Rfc9110, None);
/// assert_eq!(response.status, 401);
/// assert!(response.headers.iter().any(|(name, _)| *name == "www-authenticate"));
/// assert!(response.body.contains(r#""code":"missing_credential""#));
/// ```
#[must_use]
pub fn respond(
    denial: &Denial,
    policy: impl Into<ResponsePolicy>,
    requirement: Option<&Requirement>,
) -> Response {
    let code = denial.code();
    let policy = policy.into();
    let status = code.status(policy.status);
    // No cache on the way may store a denial.
    let mut headers = Vec::from([
        ("content-type", "application/json".to_string()),
        ("cache-control", "no-store".to_string()),
    ]);
    if status == 401 {
        // The default sources.
        let challenge = CredentialSources::new().challenge(code);
        headers.push(("www-authenticate", challenge));
    }
    let wait = match code {
        DenialCode::StoreUnavailable => Some(STORE_RETRY),
        _ => denial.retry_after(),
    };
    if let Some(wait) = wait {
        headers.push(("retry-after", wait.secs_ceil().max(1).to_string()));
    }
    if let Some(quota) = denial.quota() {
        headers.extend(policy.rate_limit_fields.of(quota));
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
        code,
    }
}

/// Header fields for the response to a request that was allowed: the rate limit in the form of
/// `fields`, and `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) if the key is being replaced.
#[must_use]
pub fn allowed_headers(
    allowed: &Allowed,
    fields: RateLimitFields,
    now: UnixMillis,
) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some(quota) = &allowed.quota {
        headers.extend(fields.of(quota));
    }
    if let Some(notice) = &allowed.notice {
        headers.push(("deprecation", alloc::format!("@{}", now.get() / 1_000)));
        headers.push(("sunset", http_date(notice.until)));
    }
    headers
}
