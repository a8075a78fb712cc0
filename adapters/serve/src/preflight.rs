//! CORS preflights, which browsers send without a key before some requests.

use http::HeaderMap;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN};
use keystile::is_method;

use crate::original_request::OriginalRequest;
use crate::problem::Problem;

/// Whether a location lets preflights pass.
///
/// # Errors
/// If the text is anything but `pass`: what is misspelt must not be left out.
pub(crate) fn is_passed(text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None => Ok(false),
        Some("pass") => Ok(true),
        Some(_) => Err(Problem::invalid(
            "preflight must be pass; without it, preflights are refused.",
        )),
    }
}

/// Whether the request is a preflight: `OPTIONS` with one `Origin` and one
/// `Access-Control-Request-Method`. Everything else with this method needs a key.
pub(crate) fn is_preflight(original: &OriginalRequest, headers: &HeaderMap) -> bool {
    let asked = single(headers, &ACCESS_CONTROL_REQUEST_METHOD);
    original.method == "OPTIONS"
        && single(headers, &ORIGIN).is_some_and(|origin| !origin.is_empty())
        && asked.is_some_and(is_method)
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.to_str().ok())?
}
