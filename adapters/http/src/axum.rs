//! A rejection as a response of axum.

use axum_core::response::{IntoResponse, Response};

use crate::rejection::Rejection;

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        Self::into_response(self)
    }
}
