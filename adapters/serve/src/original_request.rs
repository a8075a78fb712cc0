//! The original request of a gateway: its method and path, read from exactly one place in the
//! gateway's request.

use http::request::Parts;

use crate::problem::Problem;

/// The prefix that Envoy puts before the path of the original request.
pub(crate) const ENVOY_PREFIX: &str = "/v1/authorize/envoy";

/// The kind of gateway, which determines where the method and the path are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// `X-Original-Method`, and `X-Original-URI` or `X-Original-URL`; understands only 2xx, 401
    /// and 403.
    Nginx,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`: Traefik and Caddy.
    Forwarded,
    /// The method of the request itself, and its path after [`ENVOY_PREFIX`].
    Envoy,
}

/// The request that the gateway received.
pub(crate) struct OriginalRequest {
    pub(crate) method: String,
    /// Without the query, otherwise as it was sent.
    pub(crate) path: String,
}

const NGINX: [&str; 2] = ["x-original-method", "x-original-uri"];
const ORIGINAL_URL: &str = "x-original-url";
const FORWARDED: [&str; 2] = ["x-forwarded-method", "x-forwarded-uri"];

impl Gateway {
    /// The gateway by the headers of its request, if the route does not name it. A client's
    /// `X-Original-URL` does not make one nginx.
    ///
    /// # Errors
    /// If the headers of both are present: one pair may be the client's.
    pub(crate) fn by_headers(parts: &Parts) -> Result<Self, Problem> {
        let has = |names: [&str; 2]| names.iter().any(|name| parts.headers.contains_key(*name));
        match (has(NGINX), has(FORWARDED)) {
            (true, false) => Ok(Self::Nginx),
            (false, true) => Ok(Self::Forwarded),
            (true, true) => Err(Problem::malformed(
                "The gateway must send either X-Original-* or X-Forwarded-* headers, not both.",
            )),
            (false, false) => Err(Problem::malformed(
                "The gateway must send X-Original-Method and X-Original-URI, or \
                 X-Forwarded-Method and X-Forwarded-Uri.",
            )),
        }
    }

    /// The original request.
    pub(crate) fn original(self, parts: &Parts) -> Result<OriginalRequest, Problem> {
        match self {
            Self::Nginx => by_nginx(parts),
            Self::Forwarded => {
                let [method, uri] = FORWARDED;
                original_request(single_header(parts, method)?, single_header(parts, uri)?)
            }
            Self::Envoy => {
                let path = parts.uri.path().strip_prefix(ENVOY_PREFIX);
                Ok(OriginalRequest {
                    method: parts.method.as_str().to_owned(),
                    path: path.unwrap_or_default().to_owned(),
                })
            }
        }
    }
}

fn by_nginx(parts: &Parts) -> Result<OriginalRequest, Problem> {
    let [method, uri] = NGINX;
    let method = single_header(parts, method)?;
    if !parts.headers.contains_key(ORIGINAL_URL) {
        return original_request(method, single_header(parts, uri)?);
    }
    let of_url = after_authority(single_header(parts, ORIGINAL_URL)?)?;
    if parts.headers.contains_key(uri) && single_header(parts, uri)? != of_url {
        // One of the two is the client's.
        return Err(Problem::malformed(
            "The gateway must send x-original-uri or x-original-url; if it sends both, they must \
             have the same path and query.",
        ));
    }
    original_request(method, of_url)
}

fn original_request(method: &str, uri: &str) -> Result<OriginalRequest, Problem> {
    let path = uri.split_once('?').map_or(uri, |(path, _)| path);
    Ok(OriginalRequest {
        method: method.to_owned(),
        path: path.to_owned(),
    })
}

/// The path and query of a URL. Its authority is the `Host` of the client, so whatever could
/// move the start of the path is refused.
fn after_authority(url: &str) -> Result<&str, Problem> {
    let rest = url.strip_prefix("http://");
    let rest = rest.or_else(|| url.strip_prefix("https://"));
    rest.and_then(|rest| {
        let at = rest.find('/').filter(|at| *at > 0)?;
        let (authority, path) = rest.split_at_checked(at)?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
        authority.bytes().all(is_host).then_some(path)
    })
    .ok_or_else(|| {
        Problem::malformed("x-original-url must be a URL with http or https, a host, and a path.")
    })
}

/// The value of a header that must be sent exactly once.
pub(crate) fn single_header<'p>(parts: &'p Parts, name: &'static str) -> Result<&'p str, Problem> {
    let mut values = parts.headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    first
        .filter(|_| second.is_none())
        // No canonical path contains bytes outside ASCII.
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| {
            Problem::malformed(format!(
                "The gateway must send {name} exactly once, in ASCII."
            ))
        })
}
