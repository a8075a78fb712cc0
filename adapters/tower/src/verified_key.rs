//! The key that a request was allowed by.

use keystile::{Allowed, Denial, KeyId, KeyRecord, PermissionSet, Requirement, ResponsePolicy};
use keystile_http::{Passed, Rejection};

/// The verified key of a request, in the extensions of each request that passes.
///
/// It has no part of the secret, and can be logged. With the feature `axum` it is an
/// extractor; so is `Option<VerifiedKey>`, for routes whose layer is
/// [`optional`](crate::ApiKeyLayer::optional).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::convert::Infallible;
/// # use std::sync::Arc;
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # use tower::{Layer, ServiceExt, service_fn};
/// # let now = UnixMillis::now()?;
/// # let format = KeyFormat::structured("acme")?;
/// # let request = IssueRequest::new("Acme")?.permissions(["read"])?;
/// # let issued = Issuer::new(format.clone()).issue(&request, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile::Requirement;
/// use keystile_tower::{ApiKeyLayer, VerifiedKey};
///
/// let write = Arc::new(Requirement::parse("write")?);
/// let service = ApiKeyLayer::new(authenticator).layer(service_fn(move |request: Request<()>| {
///     let key: &VerifiedKey = request.extensions().get().expect("the layer sets it");
///     let response = match (request.uri().path(), key.require(&write)) {
///         ("/drafts/publish", Err(rejection)) => rejection.into_response(),
///         _ => Response::new(Bytes::from(format!("hello, {}", key.client_name()))),
///     };
///     core::future::ready(Ok::<_, Infallible>(response))
/// }));
/// let get = |path: &str| Request::get(path).header("x-api-key", issued.key.expose()).body(());
/// let response = service.clone().oneshot(get("/drafts")?).await?;
/// assert_eq!(response.body(), "hello, Acme");
/// let response = service.oneshot(get("/drafts/publish")?).await?;
/// assert_eq!(response.status(), 403);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedKey {
    passed: Passed,
    policy: ResponsePolicy,
}

impl VerifiedKey {
    #[inline(always)]
    pub(crate) const fn new(passed: Passed, policy: ResponsePolicy) -> Self {
        Self { passed, policy }
    }

    /// The public id.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.passed.allowed.key_id
    }

    /// The client's name, for people.
    #[must_use]
    pub fn client_name(&self) -> &str {
        &self.passed.record.client_name
    }

    /// The account or tenant that the key belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.passed.record.owner.as_deref()
    }

    /// What the key was granted.
    #[must_use]
    pub fn permissions(&self) -> &PermissionSet {
        &self.passed.record.permissions
    }

    /// JSON text that the service keeps with the key.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        self.passed.record.metadata.as_deref()
    }

    /// The decision: what is left of the limits, and whether the key is being replaced.
    #[must_use]
    pub const fn allowed(&self) -> &Allowed {
        &self.passed.allowed
    }

    /// The key's whole record.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        &self.passed.record
    }

    /// Checks that the key has what `requirement` names, if only a handler knows what that
    /// is.
    ///
    /// The request was already counted against the rate limit. What a route always requires
    /// belongs in its layer: [`ApiKeyLayer::requires`](crate::ApiKeyLayer::requires).
    ///
    /// # Errors
    /// A response that names the missing permissions.
    pub fn require(&self, requirement: &Requirement) -> Result<(), Rejection> {
        match Denial::missing_from(
            requirement,
            &self.passed.record.permissions,
            self.passed.allowed.key_id,
        ) {
            None => Ok(()),
            Some(denial) => Err(Rejection::of(&denial, self.policy, Some(requirement))),
        }
    }
}
