//! Strict extractors for bodies, queries and ids. If one cannot be read, the problem states
//! what was expected, and never repeats what was sent.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::{Json, RequestExt};
use http::StatusCode;
use http::request::Parts;
use keystile::KeyId;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The type of a body or query, and the message for one that cannot be read.
pub(crate) trait Form: DeserializeOwned + Send + 'static {
    const EXPECTED: &str;
}

/// A JSON body. An empty one is the same as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

/// The query of the URL; unknown and repeated names are refused.
pub(crate) struct StrictQuery<T>(pub(crate) T);

/// The id in the path.
pub(crate) struct Id(pub(crate) KeyId);

impl<T: Form, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        use axum::body::HttpBody as _;
        if request.body().is_end_stream() {
            let empty = serde_json::from_str("{}");
            return empty.map(Self).map_err(|_| Problem::malformed(T::EXPECTED));
        }
        match request.extract::<Json<T>, _>().await {
            Ok(Json(form)) => Ok(Self(form)),
            Err(rejection) => Err(unread::<T>(&rejection)),
        }
    }
}

fn unread<T: Form>(rejection: &JsonRejection) -> Problem {
    // axum's own messages quote what was sent.
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Not JSON",
            "not_json",
            "The body must be sent as application/json.",
        ),
        rejection if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Body too large",
            "too_large",
            "The body must be at most 64 KiB.",
        ),
        _ => Problem::malformed(T::EXPECTED),
    }
}

impl<T: Form, S: Send + Sync> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(form)) => Ok(Self(form)),
            Err(_) => Err(Problem::malformed(T::EXPECTED)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        // A text that is not an id is not the id of any key.
        text.ok()
            .and_then(|Path(text)| text.parse().ok())
            .map(Self)
            .ok_or_else(Problem::not_found)
    }
}
