//! `If-Match`, and the versions that it names.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::problem::Problem;

/// The header with a version.
pub(crate) fn etag(version: &str) -> Result<[(HeaderName, HeaderValue); 1], Problem> {
    let tag = HeaderValue::try_from(format!("\"{version}\""));
    let tag = tag.map_err(|_| Problem::unavailable("The version cannot be written."))?;
    Ok([(header::ETAG, tag)])
}

/// That there is another version.
pub(crate) fn differs(message: &'static str) -> Problem {
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "Changed meanwhile",
        "version_differs",
        message,
    )
}

/// The versions of `If-Match`.
pub(crate) enum Expected {
    Any,
    Of(Vec<String>),
}

impl Expected {
    pub(crate) fn matches(&self, version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.contains(&format!("\"{version}\"")),
        }
    }
}

/// Weak tags match nothing, as RFC 9110, section 13.1.1, has it.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let text = value.to_str().map_err(|_| malformed_tag())?;
        tags.extend(text.split(',').map(|tag| tag.trim().to_owned()));
    }
    let is_tag = |tag: &String| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
    };
    match tags.as_slice() {
        [] => Ok(None),
        [any] if any == "*" => Ok(Some(Expected::Any)),
        all if all.iter().all(is_tag) => Ok(Some(Expected::Of(tags))),
        _ => Err(malformed_tag()),
    }
}

fn malformed_tag() -> Problem {
    Problem::malformed("If-Match must be *, or the ETag of a response, such as \"3\".")
}
