//! Bodies, queries and ids, read strictly: what cannot be read is answered as a problem
//! that says what was expected, and never what came.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::{Json, RequestExt};
use http::StatusCode;
use http::request::Parts;
use keystile::KeyId;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// What a body or query is read into, and what is said where it cannot be.
pub(crate) trait Form: DeserializeOwned + Send + 'static {
    const EXPECTED: &str;
}

/// A JSON body. An empty one is the same as `{}`.
pub(crate) struct Body<T>(pub(crate) T);

/// The part behind the question mark; unknown and repeated names are refused.
pub(crate) struct Asked<T>(pub(crate) T);

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
    // The texts of the rejections quote what came.
    match rejection {
        JsonRejection::MissingJsonContentType(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Not JSON",
            "not_json",
            "A body is sent as application/json.",
        ),
        rejection if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "Body too large",
            "too_large",
            "A body is at most 64 KiB.",
        ),
        _ => Problem::malformed(T::EXPECTED),
    }
}

impl<T: Form, S: Send + Sync> FromRequestParts<S> for Asked<T> {
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
        // What is no id is the id of no key.
        text.ok()
            .and_then(|Path(text)| text.parse().ok())
            .map(Self)
            .ok_or_else(Problem::not_found)
    }
}
