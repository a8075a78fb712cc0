//! The response, when it is there.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use pin_project_lite::pin_project;

use crate::rejection::Rejection;

/// Headers for the response to a request that passed.
pub(crate) type Added = Vec<(HeaderName, HeaderValue)>;

type Boxed<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

pin_project! {
    /// The response of an [`ApiKeyService`](crate::ApiKeyService).
    pub struct ResponseFuture<F, R, E> {
        // What comes of the service, where the request went on to it.
        #[pin]
        service: Option<F>,
        step: Step<R, E>,
    }
}

enum Step<R, E> {
    Service(Added),
    Refused(Option<Rejection>),
    Fetching(Boxed<R, E>),
}

impl<F, R, E> ResponseFuture<F, R, E> {
    #[inline(always)]
    pub(crate) const fn of_service(future: F, added: Added) -> Self {
        Self {
            service: Some(future),
            step: Step::Service(added),
        }
    }

    pub(crate) const fn refused(refusal: Rejection) -> Self {
        Self {
            service: None,
            step: Step::Refused(Some(refusal)),
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
            (Some(future), Step::Service(added)) => {
                // What the service returns stays where it is: it is large.
                let mut response = future.poll(context);
                if !added.is_empty()
                    && let Poll::Ready(Ok(response)) = &mut response
                {
                    add(response.headers_mut(), core::mem::take(added));
                }
                response
            }
            (_, Step::Refused(refusal)) => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(refusal.into_body())),
                // It was answered: nobody asks again.
                None => Poll::Pending,
            },
            (_, Step::Fetching(future)) => future.as_mut().poll(context),
            // Cannot be: the two are made together.
            (None, Step::Service(_)) => Poll::Pending,
        }
    }
}

/// Puts onto a response what the service has not set itself.
pub(crate) fn add(headers: &mut HeaderMap, added: Added) {
    headers.reserve(added.len());
    for (name, value) in added {
        headers.entry(name).or_insert(value);
    }
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
