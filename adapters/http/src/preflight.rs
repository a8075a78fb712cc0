//! CORS preflights, which browsers send without a key.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN};
use http::{Method, header::AsHeaderName};

/// Whether a request is a CORS preflight, by which a browser asks whether the real request is
/// allowed (Fetch standard, "CORS-preflight fetch"): `OPTIONS` with one `Origin` and one
/// `Access-Control-Request-Method`. It never has a key.
///
/// ```
/// use http::{HeaderMap, Method};
/// use keystile_http::is_preflight;
/// let mut headers = HeaderMap::new();
/// headers.insert("origin", "https://app.example".parse()?);
/// assert!(!is_preflight(&Method::OPTIONS, &headers), "a request for the options");
/// headers.insert("access-control-request-method", "DELETE".parse()?);
/// assert!(is_preflight(&Method::OPTIONS, &headers));
/// assert!(!is_preflight(&Method::DELETE, &headers));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && is_once(headers, ORIGIN)
        && is_once(headers, ACCESS_CONTROL_REQUEST_METHOD)
}

fn is_once(headers: &HeaderMap, name: impl AsHeaderName) -> bool {
    headers.get_all(name).iter().count() == 1
}
