//! The layer, and the service that it makes.

use core::fmt;
use core::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use keystile::{Error, Requirement};
use keystile_store::Store;
use tower_layer::Layer;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::guard::{Blocked, Guard, PendingRequest};

/// A layer that lets a request pass by its API key, or refuses it.
///
/// A clone is cheap and shares everything. It may require other permissions of its routes:
/// [`requires`](Self::requires). See the [crate](crate) for what it does.
///
/// It goes on single routes, on a router, or around a whole app, which is the cheapest:
///
/// ```
/// # use axum::{Router, ServiceExt, extract::Request};
/// # use keystile_store::MemoryStore;
/// # use keystile_tower::ApiKeyLayer;
/// # use tower::Layer;
/// # async fn run(keys: ApiKeyLayer<MemoryStore>, app: Router, listener: tokio::net::TcpListener) {
/// let app = ServiceExt::<Request>::into_make_service(keys.layer(app));
/// axum::serve(listener, app).await.unwrap();
/// # }
/// ```
pub struct ApiKeyLayer<S> {
    guard: Guard<S>,
}

impl<S: Store + 'static> ApiKeyLayer<S> {
    pub(crate) const fn of(guard: Guard<S>) -> Self {
        Self { guard }
    }

    /// The layer for routes that require these permissions, such as `invoices:read` or
    /// `read AND (write OR admin)`.
    ///
    /// # Errors
    /// As [`Requirement::parse`].
    pub fn requires(&self, requirement: &str) -> Result<Self, Error> {
        let requirement = Requirement::parse(requirement)?;
        Ok(Self::of(self.guard.requiring(requirement)))
    }

    /// The layer for routes that need no key. A request without one passes; a request with
    /// a key that is refused does not.
    #[must_use]
    pub fn optional(&self) -> Self {
        Self::of(self.guard.optional())
    }
}

impl<S, I> Layer<I> for ApiKeyLayer<S> {
    type Service = ApiKeyService<S, I>;

    fn layer(&self, inner: I) -> ApiKeyService<S, I> {
        ApiKeyService {
            inner,
            guard: self.guard.clone(),
        }
    }
}

/// A service inside an [`ApiKeyLayer`].
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
/// use keystile_tower::{ApiKeyLayer, ApiKeyService};
///
/// let hello = service_fn(|_: Request<()>| {
///     core::future::ready(Ok::<_, Infallible>(Response::new(Bytes::from("hello"))))
/// });
/// let service: ApiKeyService<_, _> = ApiKeyLayer::new(authenticator).layer(hello);
///
/// let request = Request::get("/").header("x-api-key", issued.key.expose()).body(())?;
/// assert_eq!(service.clone().oneshot(request).await?.status(), 200);
/// let without_key = Request::get("/").body(())?;
/// assert_eq!(service.oneshot(without_key).await?.status(), 401);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct ApiKeyService<S, I> {
    inner: I,
    guard: Guard<S>,
}

impl<S, I, B, R> Service<Request<B>> for ApiKeyService<S, I>
where
    S: Store + 'static,
    I: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    I::Future: Send + 'static,
    I::Error: 'static,
    B: Send + 'static,
    R: From<Bytes> + 'static,
{
    type Response = Response<R>;
    type Error = I::Error;
    type Future = ResponseFuture<I::Future, R, I::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    // Inlined, what it returns would be copied once more.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.guard.try_authenticate(&mut request) {
            Ok(headers) => ResponseFuture::of_service(self.inner.call(request), headers),
            Err(blocked) => self.divert(*blocked, request),
        }
    }
}

impl<S, I> ApiKeyService<S, I> {
    /// Not a part of `call`: the future that asks the store is built on the stack, and takes
    /// kilobytes of it.
    #[cold]
    #[inline(never)]
    fn divert<B, R>(
        &mut self,
        blocked: Blocked,
        request: Request<B>,
    ) -> ResponseFuture<I::Future, R, I::Error>
    where
        S: Store + 'static,
        I: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        I::Future: Send + 'static,
        I::Error: 'static,
        B: Send + 'static,
        R: From<Bytes> + 'static,
    {
        match blocked {
            Blocked::Rejected(rejection) => ResponseFuture::rejected(rejection),
            Blocked::NeedsStore(pending) => {
                // `poll_ready` was called on this service, and so `call` must be too.
                let next = self.inner.clone();
                let inner = core::mem::replace(&mut self.inner, next);
                let guard = self.guard.clone();
                ResponseFuture::fetching(call_with_store(guard, pending, inner, request))
            }
        }
    }
}

async fn call_with_store<S, I, B, R>(
    guard: Guard<S>,
    pending: PendingRequest,
    mut inner: I,
    request: Request<B>,
) -> Result<Response<R>, I::Error>
where
    S: Store + 'static,
    I: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    // The body need not be `Sync`, so it is not borrowed while the store is asked.
    let (mut parts, body) = request.into_parts();
    match guard.authenticate(&mut parts, pending).await {
        Ok(headers) => {
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            headers.add_to(response.headers_mut());
            Ok(response)
        }
        Err(rejection) => Ok(rejection.into_response()),
    }
}

impl<S> Clone for ApiKeyLayer<S> {
    fn clone(&self) -> Self {
        Self {
            guard: self.guard.clone(),
        }
    }
}

impl<S, I: Clone> Clone for ApiKeyService<S, I> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            guard: self.guard.clone(),
        }
    }
}

impl<S> fmt::Debug for ApiKeyLayer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKeyLayer").field(&self.guard).finish()
    }
}

impl<S, I> fmt::Debug for ApiKeyService<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiKeyService").field(&self.guard).finish()
    }
}
