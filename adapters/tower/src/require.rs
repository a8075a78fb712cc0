//! A further requirement, behind a layer that has verified the key.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use keystile::{Cause, Denial, Error, Requirement, StatusPolicy};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::identity::VerifiedKey;
use crate::rejection::Rejection;
use crate::telemetry;

/// A layer that lets only keys pass which have these permissions, as `invoices:read` or
/// `read AND (write OR admin)`.
///
/// It belongs behind an [`ApiKeyLayer`](crate::ApiKeyLayer), as where one of these guards a
/// whole router and single routes ask for more. By then a request has been counted against
/// its rate limit; [`ApiKeyLayer::requires`](crate::ApiKeyLayer::requires) judges permissions
/// first. Where no key was verified, nothing passes.
///
/// # Errors
/// As [`Requirement::parse`].
pub fn require(requirement: &str) -> Result<RequireLayer, Error> {
    Requirement::parse(requirement).map(RequireLayer::new)
}

/// See [`require`].
#[derive(Clone, Debug)]
pub struct RequireLayer(Arc<Requirement>);

impl RequireLayer {
    /// A layer that asks for this.
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

/// A service behind a [`RequireLayer`].
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
        let met = match request.extensions().get::<VerifiedKey>() {
            Some(key) => key.require(&self.requirement),
            None => {
                let denial = Denial::new(Cause::MissingCredential);
                Err(Rejection::of(&denial, StatusPolicy::Rfc9110, None))
            }
        };
        RequireFuture {
            step: match met {
                Ok(()) => Step::Service {
                    future: self.inner.call(request),
                },
                Err(refusal) => {
                    telemetry::refused(refusal.code());
                    Step::Refused {
                        refusal: Some(refusal),
                    }
                }
            },
        }
    }
}

pin_project! {
    /// The response of a [`RequireService`].
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
        Refused { refusal: Option<Rejection> },
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
            StepProjection::Refused { refusal } => match refusal.take() {
                Some(refusal) => Poll::Ready(Ok(refusal.into_body())),
                // It was answered: nobody asks again.
                None => Poll::Pending,
            },
        }
    }
}
