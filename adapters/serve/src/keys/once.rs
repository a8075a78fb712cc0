//! Requests that are sent again with the same idempotency key.

use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use keystile_store::{IssueOnce, Once};
use serde::Serialize;
use utoipa::ToSchema;

use super::NewKey;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::view::KeyView;

/// The header, as <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>
/// describes it.
const HEADER: &str = "idempotency-key";
const EXPECTED: &str =
    "Idempotency-Key must be sent once, with 1 to 255 visible ASCII characters, quoted or not.";

/// The answer to a request that has issued a key before.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedBefore {
    /// The key that was issued for the first request.
    key_id: String,
    /// How to get a key that can be shown.
    message: &'static str,
    /// Its record as it is now, if it is there and the caller may see it.
    #[schema(required = false)]
    record: Option<KeyView>,
}

/// The idempotency key of a request, if it has one.
pub(crate) struct Idempotency(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = parts.headers.get_all(HEADER).iter();
        let Some(first) = sent.next() else {
            return Ok(Self(None));
        };
        let text = first.to_str().ok().filter(|_| sent.next().is_none());
        let key = text.and_then(key_of);
        key.map(|key| Self(Some(key)))
            .ok_or_else(|| Problem::malformed(EXPECTED))
    }
}

/// A string of RFC 8941, or the bare text that many clients send.
fn key_of(value: &str) -> Option<String> {
    let value = value.trim();
    let Some(quoted) = value.strip_prefix('"') else {
        let is_bare = !value.contains(['"', '\\', ',']);
        return is_bare.then(|| value.to_owned());
    };
    let mut key = String::new();
    let mut characters = quoted.strip_suffix('"')?.chars();
    while let Some(character) = characters.next() {
        key.push(match character {
            '"' => return None,
            '\\' => characters
                .next()
                .filter(|next| matches!(next, '"' | '\\'))?,
            other => other,
        });
    }
    Some(key)
}

impl Idempotency {
    /// The request that this caller asks for with `verb` and this body.
    pub(crate) fn request(
        &self,
        caller: &Caller,
        verb: &str,
        body: &impl Serialize,
    ) -> Result<Option<IssueOnce>, Problem> {
        let Some(key) = &self.0 else {
            return Ok(None);
        };
        // The fields in their order, so that neither order nor spaces of the text matter.
        let body = serde_json::to_string(&(verb, body));
        let body = body.map_err(|_| Problem::malformed(EXPECTED))?;
        // The lineage: a caller may rotate its own key between two attempts.
        let caller = format!("key:{}", caller.own().lineage);
        let once = IssueOnce::new(&caller, key, body.as_bytes());
        once.map(Some).map_err(|_| Problem::malformed(EXPECTED))
    }
}

/// Runs a verb that issues a key, for a request with an idempotency key only once.
pub(crate) async fn issue<'a>(
    app: &'a App,
    caller: &'a Caller,
    once: Option<&'a IssueOnce>,
    with_location: bool,
    verb: impl FnOnce(Arc<dyn Backend>) -> BoxFuture<'a, Result<NewKey, Problem>>,
) -> Result<Response, Problem> {
    let backend = app.acting_as(caller, None)?;
    let done = match once {
        None => Once::Now(verb(backend).await?),
        Some(once) => {
            let acting = backend.once(once.clone(), caller.now);
            backend.issue_once(once, caller.now, verb(acting)).await?
        }
    };
    let key_id = match done {
        Once::Now(new) => {
            let place = HeaderValue::try_from(format!("/v1/keys/{}", new.key_id));
            let mut response = (StatusCode::CREATED, Json(new)).into_response();
            if let (true, Ok(place)) = (with_location, place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            return Ok(response);
        }
        Once::Before(key_id) => key_id,
    };
    let record = app.backend().record(&key_id).await.ok();
    let record = record.filter(|record| caller.sees(record));
    let before = IssuedBefore {
        key_id: key_id.to_string(),
        message: "This request was answered before, and the key is not shown again. If you did \
                  not get it, rotate it.",
        record: record.map(|record| KeyView::new(&record, caller.now)),
    };
    Ok((StatusCode::OK, Json(before)).into_response())
}

#[cfg(test)]
mod tests {
    use super::key_of;

    #[test]
    fn keys_are_quoted_or_bare() {
        for (value, key) in [
            ("\"8e03978e-40d5\"", Some("8e03978e-40d5")),
            ("8e03978e-40d5", Some("8e03978e-40d5")),
            ("\"a\\\"b\\\\c\"", Some("a\"b\\c")),
            ("\"a", None),
            ("a\"", None),
            ("\"a\"b\"", None),
            ("\"a\\\"", None),
            ("\"a\\b\"", None),
            ("a, b", None),
        ] {
            assert_eq!(key_of(value).as_deref(), key, "{value}");
        }
    }
}
