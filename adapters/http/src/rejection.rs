//! A refusal as an HTTP response with a JSON body.

use core::fmt;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use keystile::{
    CredentialSources, Denial, DenialCode, Millis, Requirement, ResponsePolicy, respond,
};

use crate::response_headers::field;

/// The code of [`Rejection::too_many_invalid_keys`].
pub(crate) const TOO_MANY_INVALID_KEYS: &str = "too_many_invalid_keys";

/// A refused request, and the response to it.
///
/// ```
/// use bytes::Bytes;
/// use keystile::{Cause, Denial, StatusPolicy};
/// use keystile_http::Rejection;
/// let denial = Denial::new(Cause::MissingCredential);
/// let rejection = Rejection::of(&denial, StatusPolicy::Rfc9110, None);
/// assert_eq!(rejection.code(), "missing_credential");
/// let response = rejection.into_response::<Bytes>();
/// assert_eq!(response.status(), 401);
/// assert!(response.headers().contains_key("www-authenticate"));
/// ```
#[derive(Clone)]
pub struct Rejection {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
    code: &'static str,
}

impl Rejection {
    /// The response to a denial. `requirement` is the one that the request was checked
    /// against: the permissions that are missing are named in the body.
    #[must_use]
    pub fn of(
        denial: &Denial,
        policy: impl Into<ResponsePolicy>,
        requirement: Option<&Requirement>,
    ) -> Self {
        let response = respond(denial, policy, requirement);
        Self {
            status: StatusCode::from_u16(response.status)
                .unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            headers: response.headers.into_iter().filter_map(field).collect(),
            body: response.body,
            code: denial.code().as_str(),
        }
    }

    /// The same response, whose `WWW-Authenticate` names these sources instead of the default
    /// ones, if it has that header.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use keystile::{Cause, CredentialSources, Denial, StatusPolicy};
    /// use keystile_http::Rejection;
    /// let denial = Denial::new(Cause::MissingCredential);
    /// let sources = CredentialSources::none().with_scheme("Token")?;
    /// let rejection = Rejection::of(&denial, StatusPolicy::Rfc9110, None).with_sources(&sources);
    /// let response = rejection.into_response::<Bytes>();
    /// assert_eq!(response.headers()["www-authenticate"], "Token");
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn with_sources(mut self, sources: &CredentialSources) -> Self {
        let code = match self.code == DenialCode::MissingCredential.as_str() {
            true => DenialCode::MissingCredential,
            false => DenialCode::InvalidKey,
        };
        let mut headers = self.headers.iter_mut();
        let challenge = headers.find(|(name, _)| *name == WWW_AUTHENTICATE);
        // Without any source, there is nothing to name.
        if let Some((_, value)) = challenge.filter(|_| !sources.is_empty())
            && let Ok(own) = HeaderValue::try_from(sources.challenge(code))
        {
            *value = own;
        }
        self
    }

    /// 403 for a request over a connection that is not known to be encrypted.
    #[must_use]
    pub fn encryption_required() -> Self {
        Self::fixed(
            StatusCode::FORBIDDEN,
            "encryption_required",
            r#"{"error":"HTTPS required","message":"API keys are accepted only over HTTPS. Rotate any key sent over plain HTTP.","code":"encryption_required"}"#,
        )
    }

    /// 429 for an invalid key from an address that has sent too many of them. `wait` is how
    /// long until one more would be taken.
    #[must_use]
    pub fn too_many_invalid_keys(wait: Millis) -> Self {
        let mut rejection = Self::fixed(
            StatusCode::TOO_MANY_REQUESTS,
            TOO_MANY_INVALID_KEYS,
            r#"{"error":"Too many invalid API keys","message":"Too many invalid API keys came from this address. A valid key is still accepted.","code":"too_many_invalid_keys"}"#,
        );
        let seconds = wait.secs_ceil().max(1);
        rejection.headers.push((RETRY_AFTER, seconds.into()));
        rejection
    }

    fn fixed(status: StatusCode, code: &'static str, body: &str) -> Self {
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

    /// The stable code in the body.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// The body, which is JSON.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The response, with a body of the framework's own type.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(Bytes::from(self.body).into());
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
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
