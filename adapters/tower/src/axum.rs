//! The verified key as an extractor for axum.

use core::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use keystile_http::Rejection;

use crate::guard::Sources;
use crate::verified_key::VerifiedKey;

/// The key of the request. If the route has no layer, there is none, and every request is
/// refused with 401, also one with a valid key: add the layer to the route.
impl<S: Sync> FromRequestParts<S> for VerifiedKey {
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejection> {
        let key = parts.extensions.get::<Self>().cloned();
        key.ok_or_else(|| {
            crate::telemetry::no_layer(parts.uri.path());
            Sources::missing_credential(&parts.extensions)
        })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for VerifiedKey {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}
