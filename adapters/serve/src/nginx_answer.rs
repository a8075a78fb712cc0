//! The answer to nginx's `auth_request`, which understands few statuses and drops bodies.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value};

/// nginx reads the head of an answer into one page of memory, in which the other headers have
/// their place too.
const BODY_BYTES_MAX: usize = 1024;

/// Only what the service itself has written.
const READ_BYTES_MAX: usize = 65_536;

/// The same answer with its status in `X-Auth-Status` and the body of a refusal in
/// `X-Auth-Body`. nginx turns every status except 2xx, 401 and 403 into a 500, so the others
/// become 403.
pub(crate) async fn for_nginx(response: Response) -> Response {
    let status = response.status();
    let (mut parts, body) = response.into_parts();
    let status_field = HeaderValue::from(status.as_u16());
    parts.headers.insert("x-auth-status", status_field);
    if status.is_success() {
        return Response::from_parts(parts, body);
    }
    let bytes = to_bytes(body, READ_BYTES_MAX).await.unwrap_or_default();
    if let Some(field) = field(&bytes) {
        parts.headers.insert("x-auth-body", field);
    }
    if !matches!(status.as_u16(), 401 | 403) {
        parts.status = StatusCode::FORBIDDEN;
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// The body as one header. If it is too long, the list of missing permissions is left out.
fn field(body: &[u8]) -> Option<HeaderValue> {
    if body.len() <= BODY_BYTES_MAX {
        return HeaderValue::from_bytes(body).ok();
    }
    let mut fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    fields.remove("missing");
    let shorter = serde_json::to_vec(&fields).ok()?;
    let is_short = shorter.len() <= BODY_BYTES_MAX;
    is_short.then(|| HeaderValue::from_bytes(&shorter).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_too_long_keeps_its_code() {
        let short = br#"{"error":"a","message":"b","code":"c","missing":["read"]}"#;
        assert_eq!(field(short).unwrap().as_bytes(), short);
        let missing = vec!["a".repeat(120); 10];
        let long = serde_json::json!({ "error": "a", "code": "c", "missing": missing });
        let kept = field(long.to_string().as_bytes()).unwrap();
        let kept: Value = serde_json::from_slice(kept.as_bytes()).unwrap();
        assert_eq!(kept, serde_json::json!({ "error": "a", "code": "c" }));
        assert_eq!(field("x".repeat(2_000).as_bytes()), None);
        assert_eq!(field(b"two\r\nlines"), None);
    }
}
