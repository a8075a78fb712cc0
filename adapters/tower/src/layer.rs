//! The layer, and the service that it makes.

use core::fmt;
use core::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use keystile::{Error, Requirement, UnixMillis};
use keystile_store::{Authenticator, Pending, Store};
use tower_layer::Layer;
use tower_service::Service;

use crate::builder::ApiKeyLayerBuilder;
use crate::future::{ResponseFuture, add};
use crate::guard::{Guard, Held};

/// A layer that lets a request pass by its API key, or refuses it.
///
/// A clone is cheap, shares everything, and may ask for something else of its routes:
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
    /// A layer as [`builder`](Self::builder) has it by default.
    #[must_use]
    pub fn new(authenticator: Authenticator<S>) -> Self {
        Self::builder(authenticator).build()
    }

    /// A layer that is set up part by part.
    pub fn builder(authenticator: Authenticator<S>) -> ApiKeyLayerBuilder<S> {
        ApiKeyLayerBuilder::new(authenticator)
    }

    pub(crate) const fn of(guard: Guard<S>) -> Self {
        Self { guard }
    }

    /// The layer for routes that need these permissions, as `invoices:read` or
    /// `read AND (write OR admin)`.
    ///
    /// # Errors
    /// As [`Requirement::parse`].
    pub fn requires(&self, requirement: &str) -> Result<Self, Error> {
        let requirement = Requirement::parse(requirement)?;
        Ok(Self::of(self.guard.requiring(requirement)))
    }

    /// The layer for routes that a request without any key may use too; one with a key
    /// that is refused may not.
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

/// A service behind an [`ApiKeyLayer`].
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
        match self.guard.admit(&mut request) {
            Ok(added) => ResponseFuture::of_service(self.inner.call(request), added),
            Err(held) => self.hold(*held, request),
        }
    }
}

impl<S, I> ApiKeyService<S, I> {
    /// Out of the way of what passes: the future that asks the store is built on the stack,
    /// and takes kilobytes of it.
    #[cold]
    #[inline(never)]
    fn hold<B, R>(
        &mut self,
        held: Held,
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
        match held {
            Held::Refused(refusal) => ResponseFuture::refused(refusal),
            Held::NeedsStore(pending, now) => {
                // The service that was asked whether it is ready is the one to be called.
                let next = self.inner.clone();
                let inner = core::mem::replace(&mut self.inner, next);
                let guard = self.guard.clone();
                ResponseFuture::fetching(ask(guard, pending, now, inner, request))
            }
        }
    }
}

async fn ask<S, I, B, R>(
    guard: Guard<S>,
    pending: Pending,
    now: UnixMillis,
    mut inner: I,
    request: Request<B>,
) -> Result<Response<R>, I::Error>
where
    S: Store + 'static,
    I: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    // Apart from its body, which need not be shareable, a request can be waited with.
    let (mut parts, body) = request.into_parts();
    match guard.ask(&mut parts, pending, now).await {
        Ok(added) => {
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            add(response.headers_mut(), added);
            Ok(response)
        }
        Err(refusal) => Ok(refusal.into_body()),
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
