//! The original request of a gateway: its method and path, read from exactly one place in the
//! gateway's request.

use http::request::Parts;

use crate::problem::Problem;

/// The prefix that Envoy puts before the path of the original request.
pub(crate) const ENVOY_PREFIX: &str = "/v1/authorize/envoy";

/// The kind of gateway, which determines where the method and the path are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// `X-Original-Method` and `X-Original-URI`; understands only 2xx, 401 and 403.
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
const FORWARDED: [&str; 2] = ["x-forwarded-method", "x-forwarded-uri"];

impl Gateway {
    /// The gateway by the headers of its request, if the route does not name it.
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
            Self::Nginx => by_header(parts, NGINX),
            Self::Forwarded => by_header(parts, FORWARDED),
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

fn by_header(parts: &Parts, [method, uri]: [&'static str; 2]) -> Result<OriginalRequest, Problem> {
    let (method, uri) = (single_header(parts, method)?, single_header(parts, uri)?);
    let path = uri.split_once('?').map_or(uri, |(path, _)| path);
    Ok(OriginalRequest {
        method: method.to_owned(),
        path: path.to_owned(),
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
