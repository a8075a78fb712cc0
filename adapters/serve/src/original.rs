//! The request that a gateway asks about: its method and its path, from what the gateway
//! says, and from one place alone.

use http::request::Parts;

use crate::problem::Problem;

/// Behind this stands the path of the request that Envoy asks about.
pub(crate) const ENVOY_PREFIX: &str = "/v1/authorize/envoy";

/// Which gateway asks, and so where it puts the method and the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// `X-Original-Method` and `X-Original-URI`; knows 2xx, 401 and 403.
    Nginx,
    /// `X-Forwarded-Method` and `X-Forwarded-Uri`: Traefik and Caddy.
    Forwarded,
    /// The method of the request itself, and its path behind [`ENVOY_PREFIX`].
    Envoy,
}

/// What the gateway was asked for.
pub(crate) struct Original {
    pub(crate) method: String,
    /// Without the query, and otherwise as it was sent.
    pub(crate) path: String,
}

const NGINX: [&str; 2] = ["x-original-method", "x-original-uri"];
const FORWARDED: [&str; 2] = ["x-forwarded-method", "x-forwarded-uri"];

impl Gateway {
    /// By the headers that are there, where the path does not say it.
    ///
    /// # Errors
    /// Where there are those of both: one of them is the client's, and nothing tells which.
    pub(crate) fn by_headers(parts: &Parts) -> Result<Self, Problem> {
        let has = |names: [&str; 2]| names.iter().any(|name| parts.headers.contains_key(*name));
        match (has(NGINX), has(FORWARDED)) {
            (true, false) => Ok(Self::Nginx),
            (false, true) => Ok(Self::Forwarded),
            (true, true) => Err(Problem::malformed(
                "The original request is told either by X-Original-* or by X-Forwarded-*, \
                 not by both.",
            )),
            (false, false) => Err(Problem::malformed(
                "The gateway tells the original request by X-Original-Method and \
                 X-Original-URI, or by X-Forwarded-Method and X-Forwarded-Uri.",
            )),
        }
    }

    /// The request that is asked about.
    pub(crate) fn original(self, parts: &Parts) -> Result<Original, Problem> {
        match self {
            Self::Nginx => by_header(parts, NGINX),
            Self::Forwarded => by_header(parts, FORWARDED),
            Self::Envoy => {
                let path = parts.uri.path().strip_prefix(ENVOY_PREFIX);
                Ok(Original {
                    method: parts.method.as_str().to_owned(),
                    path: path.unwrap_or_default().to_owned(),
                })
            }
        }
    }
}

fn by_header(parts: &Parts, [method, uri]: [&'static str; 2]) -> Result<Original, Problem> {
    let (method, uri) = (only(parts, method)?, only(parts, uri)?);
    let path = uri.split_once('?').map_or(uri, |(path, _)| path);
    Ok(Original {
        method: method.to_owned(),
        path: path.to_owned(),
    })
}

/// The one value of a header.
pub(crate) fn only<'p>(parts: &'p Parts, name: &'static str) -> Result<&'p str, Problem> {
    let mut values = parts.headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    first
        .filter(|_| second.is_none())
        // Bytes beyond ASCII stand in no canonical path.
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Problem::malformed(format!("The gateway sends {name} once, in ASCII.")))
}
