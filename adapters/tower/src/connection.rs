//! Where a request came from, and whose word is taken for it.

use core::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use keystile::Networks;

/// What a server knows of the connection that a request came over. It goes among the
/// request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The address at the other end.
    pub peer: IpAddr,
    /// Whether it is TLS.
    pub is_encrypted: bool,
}

/// Where the client is, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    pub(crate) is_encrypted: bool,
}

impl Connection {
    /// A connection without encryption.
    #[must_use]
    pub const fn plain(peer: IpAddr) -> Self {
        Self {
            peer,
            is_encrypted: false,
        }
    }

    /// A connection over TLS.
    #[must_use]
    pub const fn encrypted(peer: IpAddr) -> Self {
        Self {
            peer,
            is_encrypted: true,
        }
    }
}

impl Client {
    /// The client behind a connection. Headers are read only where the peer is one of the
    /// trusted proxies.
    pub(crate) fn of(
        connection: Option<Connection>,
        proxies: Option<&Networks>,
        headers: &HeaderMap,
    ) -> Self {
        let Some(connection) = connection else {
            return Self::default();
        };
        let peer = connection.peer.to_canonical();
        match proxies {
            Some(proxies) if proxies.contains(peer) => Self {
                address: forwarded_for(peer, proxies, headers),
                is_encrypted: is_forwarded_encrypted(headers),
            },
            _ => Self {
                address: Some(peer),
                is_encrypted: connection.is_encrypted,
            },
        }
    }
}

/// The last address in `X-Forwarded-For` that is no trusted proxy: each hop adds the one
/// that it was asked by, so all before it is the client's own claim.
fn forwarded_for(peer: IpAddr, proxies: &Networks, headers: &HeaderMap) -> Option<IpAddr> {
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let mut nearest = peer;
    for value in values.into_iter().rev() {
        // What cannot be read was written by nobody that can be trusted.
        let value = value.to_str().ok()?;
        for hop in value.rsplit(',') {
            nearest = address(hop.trim_matches([' ', '\t']))?;
            if !proxies.contains(nearest) {
                return Some(nearest);
            }
        }
    }
    Some(nearest)
}

/// An address, also in brackets or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address = bare.unwrap_or(text).parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

/// Whether `X-Forwarded-Proto` says `https`, in each value that there is.
fn is_forwarded_encrypted(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("x-forwarded-proto").iter().peekable();
    values.peek().is_some() && values.all(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> Client {
        let proxies = Networks::new(["10.0.0.0/8", "fd00::/8"]).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let connection = Connection::plain(peer.parse().unwrap());
        Client::of(Some(connection), Some(&proxies), &map)
    }

    /// I10, CVE-2026-29794: a header is as good as whoever sent it.
    #[test]
    fn a_header_is_believed_of_a_trusted_proxy_alone() {
        let spoofed = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
        ];
        let direct = client("203.0.113.9", &spoofed);
        assert_eq!(direct.address, Some("203.0.113.9".parse().unwrap()));
        assert!(!direct.is_encrypted);
        let behind = client("10.0.0.1", &spoofed);
        assert_eq!(behind.address, Some("192.0.2.1".parse().unwrap()));
        assert!(behind.is_encrypted);
        let unknown = Client::of(None, None, &HeaderMap::new());
        assert_eq!(unknown, Client::default());
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        let table: [(&[&'static str], Option<&str>); 14] = [
            (&[], Some("10.0.0.1")),
            (&["192.0.2.1"], Some("192.0.2.1")),
            (&["198.51.100.7, 192.0.2.1"], Some("192.0.2.1")),
            (&["198.51.100.7", "192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, 10.9.9.9"], Some("192.0.2.1")),
            (&["192.0.2.1", "10.9.9.9, fd00::1"], Some("192.0.2.1")),
            (&["10.1.1.1,10.2.2.2"], Some("10.1.1.1")),
            (&["192.0.2.1:4711"], Some("192.0.2.1")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["::ffff:192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, unknown"], None),
            (&["192.0.2.1,"], None),
            (&["010.0.0.1"], None),
        ];
        for (values, expected) in table {
            let headers: Vec<_> = values.iter().map(|v| ("x-forwarded-for", *v)).collect();
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(client("10.0.0.1", &headers).address, expected, "{values:?}");
        }
        assert_eq!(
            client("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]).address,
            Some("192.0.2.1".parse().unwrap()),
            "a mapped peer is the same peer"
        );
    }

    #[test]
    fn one_hop_without_encryption_is_one_too_many() {
        for (values, expected) in [
            (&["https"][..], true),
            (&["HTTPS"], true),
            (&["https", "http"], false),
            (&["https, http"], false),
            (&["http"], false),
            (&[""], false),
            (&[], false),
        ] {
            let headers: Vec<_> = values.iter().map(|v| ("x-forwarded-proto", *v)).collect();
            assert_eq!(
                client("10.0.0.1", &headers).is_encrypted,
                expected,
                "{values:?}"
            );
        }
    }
}
