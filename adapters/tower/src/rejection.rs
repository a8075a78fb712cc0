//! A refusal as a response.

use core::fmt;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use keystile::{Denial, Millis, Requirement, StatusPolicy, respond};

/// A request that may not pass, and what it is answered with.
#[derive(Clone)]
pub struct Rejection {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
    code: &'static str,
}

impl Rejection {
    /// The refusal that a denial is answered with. `requirement` is the one that the
    /// request was judged by.
    #[must_use]
    pub fn of(denial: &Denial, policy: StatusPolicy, requirement: Option<&Requirement>) -> Self {
        let response = respond(denial, policy, requirement);
        let headers = response.headers.into_iter();
        Self {
            status: StatusCode::from_u16(response.status)
                .unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            headers: headers
                .filter_map(|(name, value)| field(name, value))
                .collect(),
            body: response.body,
            code: denial.code().as_str(),
        }
    }

    /// For a key that came over a connection which anybody can read.
    pub(crate) fn not_encrypted() -> Self {
        Self::own(
            StatusCode::FORBIDDEN,
            "encryption_required",
            r#"{"error":"HTTPS required","message":"API keys are accepted over HTTPS alone. A key that was sent without it should be replaced.","code":"encryption_required"}"#,
        )
    }

    /// For a key that is not known, from where too many of these came.
    pub(crate) fn too_many_invalid_keys(wait: Millis) -> Self {
        let mut refusal = Self::own(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_invalid_keys",
            r#"{"error":"Too many invalid API keys","message":"Too many API keys from this address were not valid; a valid one still is.","code":"too_many_invalid_keys"}"#,
        );
        let seconds = wait.secs_ceil().max(1);
        refusal.headers.push((RETRY_AFTER, seconds.into()));
        refusal
    }

    fn own(status: StatusCode, code: &'static str, body: &str) -> Self {
        Self {
            status,
            headers: Vec::from([
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ]),
            body: body.into(),
            code,
        }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code that the body says.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The JSON text of the body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The response, with the body as text.
    #[must_use]
    pub fn into_response(self) -> Response<String> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }

    pub(crate) fn into_body<B: From<Bytes>>(self) -> Response<B> {
        self.into_response().map(|body| Bytes::from(body).into())
    }
}

/// A header of the core's; both parts are well formed.
pub(crate) fn field(name: &'static str, value: String) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(value).ok()?;
    Some((HeaderName::from_static(name), value))
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("status", &self.status)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request was refused: {}", self.code)
    }
}

impl core::error::Error for Rejection {}
