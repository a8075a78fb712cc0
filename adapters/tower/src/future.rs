//! The response, when it is there.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http::header::{HeaderName, HeaderValue};
use pin_project_lite::pin_project;

use crate::refusal::Refusal;

/// Headers for the response to a request that passed.
pub(crate) type Added = Vec<(HeaderName, HeaderValue)>;

type Boxed<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

pin_project! {
    /// The response of an [`ApiKeyService`](crate::ApiKeyService).
    pub struct ResponseFuture<F, R, E> {
        #[pin]
        step: Step<F, R, E>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F, R, E> {
        Service { #[pin] future: F, added: Added },
        Refused { refusal: Option<Refusal> },
        Fetching { future: Boxed<R, E> },
    }
}

impl<F, R, E> ResponseFuture<F, R, E> {
    pub(crate) const fn of_service(future: F, added: Added) -> Self {
        Self {
            step: Step::Service { future, added },
        }
    }

    pub(crate) const fn refused(refusal: Refusal) -> Self {
        Self {
            step: Step::Refused {
                refusal: Some(refusal),
            },
        }
    }

    pub(crate) fn fetching(
        future: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
    ) -> Self {
        Self {
            step: Step::Fetching {
                future: Box::pin(future),
            },
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
        match self.project().step.project() {
            StepProjection::Service { future, added } => {
                let response = ready!(future.poll(context))?;
                Poll::Ready(Ok(finish(response, core::mem::take(added))))
            }
            StepProjection::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(refusal.into_body())),
                // It was answered: nobody asks again.
                None => Poll::Pending,
            },
            StepProjection::Fetching { future } => future.as_mut().poll(context),
        }
    }
}

/// The service's response, with the headers that it has not set itself.
pub(crate) fn finish<R>(mut response: Response<R>, added: Added) -> Response<R> {
    response.headers_mut().reserve(added.len());
    for (name, value) in added {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

impl<F, R, E> fmt::Debug for ResponseFuture<F, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
