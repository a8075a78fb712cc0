//! The extractor and the rejection for axum.

use core::convert::Infallible;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use keystile::{Cause, Denial, StatusPolicy};

use crate::identity::VerifiedKey;
use crate::rejection::Rejection;

/// The key of the request. Without a layer in front there is none, and the request is
/// refused: an extractor alone guards as well as it can.
impl<S: Sync> FromRequestParts<S> for VerifiedKey {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let key = parts.extensions.get::<Self>().cloned();
        key.ok_or_else(|| {
            let denial = Denial::new(Cause::MissingCredential);
            Rejection::of(&denial, StatusPolicy::Rfc9110, None)
        })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for VerifiedKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response(self).map(Body::from)
    }
}
