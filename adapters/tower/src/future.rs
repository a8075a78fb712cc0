//! The future of a response.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use keystile_http::{Rejection, ResponseHeaders};
use pin_project_lite::pin_project;

type Boxed<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

pin_project! {
    /// The response of an [`ApiKeyService`](crate::ApiKeyService).
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
    /// use keystile_tower::{ApiKeyLayer, ResponseFuture};
    /// use tower::Service;
    ///
    /// let hello = service_fn(|_: Request<()>| {
    ///     core::future::ready(Ok::<_, Infallible>(Response::new(Bytes::from("hello"))))
    /// });
    /// let mut service = ApiKeyLayer::new(authenticator).layer(hello);
    /// let response: ResponseFuture<_, Bytes, Infallible> = service.call(Request::get("/").body(())?);
    /// assert_eq!(response.await?.status(), 401, "there is no key in the request");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub struct ResponseFuture<F, R, E> {
        // Set if the request went on to the service.
        #[pin]
        service: Option<F>,
        step: Step<R, E>,
    }
}

enum Step<R, E> {
    Service(ResponseHeaders),
    Rejected(Option<Rejection>),
    Fetching(Boxed<R, E>),
}

impl<F, R, E> ResponseFuture<F, R, E> {
    #[inline(always)]
    pub(crate) const fn of_service(future: F, headers: ResponseHeaders) -> Self {
        Self {
            service: Some(future),
            step: Step::Service(headers),
        }
    }

    pub(crate) const fn rejected(rejection: Rejection) -> Self {
        Self {
            service: None,
            step: Step::Rejected(Some(rejection)),
        }
    }

    pub(crate) fn fetching(
        future: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
    ) -> Self {
        Self {
            service: None,
            step: Step::Fetching(Box::pin(future)),
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.service.as_pin_mut(), this.step) {
            (Some(future), Step::Service(headers)) => {
                // Changed in place: it is large.
                let mut response = future.poll(context);
                if !headers.is_empty()
                    && let Poll::Ready(Ok(response)) = &mut response
                {
                    core::mem::take(headers).add_to(response.headers_mut());
                }
                response
            }
            (_, Step::Rejected(rejection)) => match rejection.take() {
                Some(rejection) => Poll::Ready(Ok(rejection.into_response())),
                // It was answered: no one polls again.
                None => Poll::Pending,
            },
            (_, Step::Fetching(future)) => future.as_mut().poll(context),
            // Cannot be: the two are made together.
            (None, Step::Service(_)) => Poll::Pending,
        }
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
