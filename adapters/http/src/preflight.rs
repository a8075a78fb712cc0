//! CORS preflights, which browsers send without a key.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN};
use http::{HeaderMap, Method};

/// Whether a request is a CORS preflight, by which a browser asks whether the real request is
/// allowed (Fetch standard, "CORS-preflight fetch"): `OPTIONS` with one `Origin` and one
/// `Access-Control-Request-Method` that is a method. It never has a key.
///
/// ```
/// use http::HeaderMap;
/// use keystile_http::is_preflight;
/// let mut headers = HeaderMap::new();
/// headers.insert("origin", "https://app.example".parse()?);
/// assert!(!is_preflight("OPTIONS", &headers), "a request for the options");
/// headers.insert("access-control-request-method", "DELETE".parse()?);
/// assert!(is_preflight("OPTIONS", &headers));
/// assert!(!is_preflight("DELETE", &headers));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn is_preflight(method: &str, headers: &HeaderMap) -> bool {
    let asked = single(headers, &ACCESS_CONTROL_REQUEST_METHOD);
    method == "OPTIONS"
        && single(headers, &ORIGIN).is_some_and(|origin| !origin.is_empty())
        && asked.is_some_and(|method| Method::from_bytes(method).is_ok())
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}
