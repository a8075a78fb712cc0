//! What a gate decided about a request.

use core::fmt;
use std::sync::Arc;

use keystile::{Allowed, Carriers, Cause, Denial, KeyRecord, Millis, Requirement, StatusPolicy};
use keystile_store::StoreError;

use crate::rejection::{Rejection, TOO_MANY_INVALID_KEYS};

/// What a gate decided from memory.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use http::HeaderMap;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile_http::{Gate, GateOutcome, RequestContext};
///
/// let gate = Gate::new(authenticator);
/// let mut headers = HeaderMap::new();
/// headers.insert("authorization", format!("Bearer {}", issued.key.expose()).parse()?);
/// let context = RequestContext::new(&headers, Request::new(), None, now);
/// let status = match gate.try_check(&context) {
///     GateOutcome::Passed(_) => 200,
///     GateOutcome::Denied(_) => 401,
///     // The first request of a key: its record is not cached yet.
///     GateOutcome::NeedsStore => match gate.check_with_store(&context).await {
///         Ok(_) => 200,
///         Err(_) => 401,
///     },
/// };
/// assert_eq!(status, 200);
///
/// let without = HeaderMap::new();
/// let context = RequestContext::new(&without, Request::new(), None, now);
/// assert!(matches!(gate.try_check(&context), GateOutcome::Denied(_)), "no store is needed");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "an outcome that is not looked at lets every request pass"]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum GateOutcome {
    /// The request may pass.
    Passed(Passed),
    /// The request is denied.
    Denied(Denied),
    /// Only the store can decide: [`Gate::check_with_store`](crate::Gate::check_with_store).
    NeedsStore,
}

/// A request that may pass.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use http::HeaderMap;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?.uses(3)?, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile_http::{Gate, RequestContext};
///
/// let gate = Gate::new(authenticator);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", issued.key.expose().parse()?);
/// let context = RequestContext::new(&headers, Request::new(), None, now);
/// let passed = gate.check(&context).await.unwrap();
/// assert_eq!(passed.allowed.remaining_uses, Some(2));
/// assert_eq!(passed.record.id, issued.record.id);
///
/// gate.credentials().remove(&mut headers, passed.carriers);
/// assert!(headers.is_empty(), "the service does not get the key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Passed {
    /// The decision: what is left of the limits, and whether the key is being replaced.
    pub allowed: Allowed,
    /// The key's record.
    pub record: Arc<KeyRecord>,
    /// The headers that carried the key, for
    /// [`CredentialHeaders::remove`](crate::CredentialHeaders::remove).
    pub carriers: Carriers,
}

/// A request that is denied, and what the response to it needs.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use http::HeaderMap;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile::{Requirement, StatusPolicy};
/// use keystile_http::{Gate, RequestContext};
///
/// let gate = Gate::new(authenticator);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", issued.key.expose().parse()?);
/// let write = Requirement::parse("write")?;
/// let context = RequestContext::new(&headers, Request::new().requires(&write), None, now);
/// let denied = gate.check(&context).await.unwrap_err();
/// assert_eq!(denied.code(), "permission_missing");
/// assert_eq!(denied.denial().missing(&write).collect::<Vec<_>>(), ["write"]);
/// let rejection = denied.rejection(StatusPolicy::Rfc9110, Some(&write));
/// assert_eq!(rejection.status(), 403);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a denied request must be answered with its rejection"]
pub struct Denied {
    denial: Box<Denial>,
    /// How long until one more invalid key is taken from the address, if it is over the limit.
    invalid_key_wait: Option<Millis>,
    /// What the store reported, if it is unavailable or the key's row is damaged.
    failure: Option<Arc<StoreError>>,
}

impl Passed {
    #[inline(always)]
    pub(crate) const fn new(allowed: Allowed, record: Arc<KeyRecord>, carriers: Carriers) -> Self {
        Self {
            allowed,
            record,
            carriers,
        }
    }
}

impl Denied {
    pub(crate) fn new(
        denial: Denial,
        invalid_key_wait: Option<Millis>,
        failure: Option<Arc<StoreError>>,
    ) -> Self {
        Self {
            denial: Box::new(denial),
            invalid_key_wait,
            failure,
        }
    }

    pub(crate) fn store_unavailable() -> Self {
        Self::new(Denial::new(Cause::StoreUnavailable), None, None)
    }

    /// Why the request was denied.
    #[must_use]
    pub const fn denial(&self) -> &Denial {
        &self.denial
    }

    /// The denial, without the rest.
    #[must_use]
    pub fn into_denial(self) -> Denial {
        *self.denial
    }

    /// What the store reported if it is unavailable, or if the key's row is damaged; for the log.
    /// Of a damaged row it is there once a minute: see [`Answer::failure`](keystile_store::Answer).
    #[must_use]
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.as_deref()
    }

    /// The stable code of the response: the denial's, or `too_many_invalid_keys`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.invalid_key_wait {
            Some(_) => TOO_MANY_INVALID_KEYS,
            None => self.denial.code().as_str(),
        }
    }

    /// The response. `requirement` is the one that the request was checked against.
    #[must_use]
    pub fn rejection(&self, policy: StatusPolicy, requirement: Option<&Requirement>) -> Rejection {
        match self.invalid_key_wait {
            Some(wait) => Rejection::too_many_invalid_keys(wait),
            None => Rejection::of(&self.denial, policy, requirement),
        }
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denied")
            .field("code", &self.code())
            .finish_non_exhaustive()
    }
}
