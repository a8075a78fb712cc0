//! A further requirement, after a layer that has verified the key.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use keystile::{Error, Requirement};
use keystile_http::Rejection;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::guard::{Preflight, Sources};
use crate::telemetry;
use crate::verified_key::VerifiedKey;

/// A layer that lets only keys with these permissions pass, such as `invoices:read` or
/// `read AND (write OR admin)`.
///
/// It belongs inside an [`ApiKeyLayer`](crate::ApiKeyLayer), if that guards a whole router
/// and single routes require more. A request that it refuses was already counted against its
/// rate limit; [`ApiKeyLayer::requires`](crate::ApiKeyLayer::requires) checks permissions
/// first. If no key was verified, nothing passes.
///
/// # Errors
/// As [`Requirement::parse`].
pub fn require(requirement: &str) -> Result<RequireLayer, Error> {
    Requirement::parse(requirement).map(RequireLayer::new)
}

/// See [`require`].
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
/// use keystile_tower::{ApiKeyLayer, RequireLayer};
///
/// let hello = service_fn(|_: Request<()>| {
///     core::future::ready(Ok::<_, Infallible>(Response::new(Bytes::from("hello"))))
/// });
/// let keys = ApiKeyLayer::new(authenticator);
/// let status = async |permission: &str| {
///     let inner = RequireLayer::new(Requirement::parse(permission)?).layer(hello);
///     let request = Request::get("/").header("x-api-key", issued.key.expose()).body(())?;
///     let response = keys.layer(inner).oneshot(request).await?;
///     Ok::<_, Box<dyn std::error::Error>>(response.status())
/// };
/// assert_eq!(status("read").await?, 200);
/// assert_eq!(status("read AND write").await?, 403);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RequireLayer(Arc<Requirement>);

impl RequireLayer {
    /// A layer that requires this.
    #[must_use]
    pub fn new(requirement: Requirement) -> Self {
        Self(Arc::new(requirement))
    }
}

impl<I> Layer<I> for RequireLayer {
    type Service = RequireService<I>;

    fn layer(&self, inner: I) -> RequireService<I> {
        RequireService {
            inner,
            requirement: Arc::clone(&self.0),
        }
    }
}

/// A service inside a [`RequireLayer`].
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
/// use keystile_tower::{ApiKeyLayer, require};
///
/// let hello = service_fn(|_: Request<()>| {
///     core::future::ready(Ok::<_, Infallible>(Response::new(Bytes::from("hello"))))
/// });
/// // Without an `ApiKeyLayer` around it, no key was verified, so nothing passes.
/// let service = require("read")?.layer(hello);
/// let request = Request::get("/").header("x-api-key", issued.key.expose()).body(())?;
/// assert_eq!(service.oneshot(request).await?.status(), 401);
/// assert!(require("read and write").is_err(), "the keyword is `AND`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RequireService<I> {
    inner: I,
    requirement: Arc<Requirement>,
}

impl<I, B, R> Service<Request<B>> for RequireService<I>
where
    I: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = I::Error;
    type Future = RequireFuture<I::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let checked = match request.extensions().get::<VerifiedKey>() {
            Some(key) => key.require(&self.requirement),
            // It asks only whether the real request is allowed.
            None if request.extensions().get::<Preflight>().is_some() => Ok(()),
            None => Err(Sources::missing_credential(request.extensions())),
        };
        RequireFuture {
            step: match checked {
                Ok(()) => Step::Service {
                    future: self.inner.call(request),
                },
                Err(rejection) => {
                    telemetry::refused(rejection.code());
                    Step::Rejected {
                        rejection: Some(rejection),
                    }
                }
            },
        }
    }
}

pin_project! {
    /// The response of a [`RequireService`].
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
    /// use keystile_tower::{RequireFuture, require};
    ///
    /// let hello = service_fn(|_: Request<()>| {
    ///     core::future::ready(Ok::<_, Infallible>(Response::new(Bytes::from("hello"))))
    /// });
    /// use tower::Service;
    ///
    /// let mut service = require("read")?.layer(hello);
    /// let response: RequireFuture<_> = service.call(Request::get("/").body(())?);
    /// assert_eq!(response.await?.status(), 401, "no key was verified");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    #[derive(Debug)]
    pub struct RequireFuture<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StepProjection]
    enum Step<F> {
        Service { #[pin] future: F },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<F, R, E> Future for RequireFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepProjection::Service { future } => future.poll(context),
            StepProjection::Rejected { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Ok(rejection.into_response())),
                // It was answered: no one polls again.
                None => Poll::Pending,
            },
        }
    }
}
