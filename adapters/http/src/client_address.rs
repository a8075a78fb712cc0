//! The client's address, and whether its connection is encrypted: by the connection, or by
//! the headers of a trusted proxy.

use core::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use keystile::Networks;

/// What a server knows of the connection that a request came over.
///
/// ```
/// use keystile::Networks;
/// use keystile_http::Connection;
///
/// let connection = Connection::plain("::ffff:10.0.0.7".parse()?);
/// assert!(connection.is_from(&Networks::new(["10.0.0.0/8"])?));
/// assert!(!connection.is_from(&Networks::new(["192.0.2.0/24"])?));
/// assert!(!connection.is_encrypted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The address at the other end.
    pub peer: IpAddr,
    /// Whether it is TLS.
    pub is_encrypted: bool,
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

    /// Whether the peer is in these networks. An IPv4 address that is mapped into IPv6 is
    /// the IPv4 address.
    #[must_use]
    pub fn is_from(&self, networks: &Networks) -> bool {
        networks.contains(self.peer.to_canonical())
    }
}

/// The client that sent a request, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// Its address; `None` if the connection is not known, or if a trusted proxy sent an
    /// `X-Forwarded-For` that cannot be read.
    pub address: Option<IpAddr>,
    /// Whether its connection is encrypted.
    pub is_encrypted: bool,
}

impl Client {
    /// The client at the other end of a connection.
    ///
    /// If the peer is one of the trusted proxies, its headers are read instead: the address
    /// is the last one in `X-Forwarded-For` that is not a trusted proxy's, and the
    /// connection is encrypted if every `X-Forwarded-Proto` is `https`. A proxy must
    /// therefore append its own peer to the first, and set the second. The headers of every
    /// other peer are ignored.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use keystile::Networks;
    /// use keystile_http::{Client, Connection};
    /// let proxies = Networks::new(["10.0.0.0/8"])?;
    /// let mut headers = HeaderMap::new();
    /// headers.insert("x-forwarded-for", "192.0.2.7".parse()?);
    /// let address = |peer: &str| {
    ///     let connection = Connection::plain(peer.parse().unwrap());
    ///     let client = Client::of(Some(connection), Some(&proxies), &headers);
    ///     client.address.unwrap().to_string()
    /// };
    /// assert_eq!(address("10.0.0.1"), "192.0.2.7");
    /// assert_eq!(address("203.0.113.9"), "203.0.113.9", "not a trusted proxy");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of(
        connection: Option<Connection>,
        proxies: Option<&Networks>,
        headers: &HeaderMap,
    ) -> Self {
        let Some(connection) = connection else {
            return Self::default();
        };
        match proxies {
            Some(proxies) if connection.is_from(proxies) => Self {
                address: forwarded_for(connection.peer, proxies, headers),
                is_encrypted: is_forwarded_encrypted(headers),
            },
            _ => Self {
                address: Some(connection.peer.to_canonical()),
                is_encrypted: connection.is_encrypted,
            },
        }
    }
}

/// The last address in `X-Forwarded-For` that is not a trusted proxy's. Each proxy appends
/// its own peer, so everything before that address is the client's own claim.
fn forwarded_for(peer: IpAddr, proxies: &Networks, headers: &HeaderMap) -> Option<IpAddr> {
    let mut nearest = peer.to_canonical();
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    for value in values.into_iter().rev() {
        // What stands before the last hop may be the client's, and anything.
        for hop in value.as_bytes().rsplit(|byte| *byte == b',') {
            // A trusted proxy writes nothing that cannot be read.
            let hop = str::from_utf8(hop).ok()?;
            nearest = parse_address(hop.trim_matches([' ', '\t']))?;
            if !proxies.contains(nearest) {
                return Some(nearest);
            }
        }
    }
    Some(nearest)
}

/// An address, which may be in brackets or have a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address = bare.unwrap_or(text).parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

/// Whether `X-Forwarded-Proto` is there, and every value of it is `https`.
fn is_forwarded_encrypted(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all("x-forwarded-proto").iter().peekable();
    values.peek().is_some() && values.all(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> Client {
        let proxies = Networks::new(["10.0.0.0/8", "fd00::/8"]).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(*name, value);
        }
        let connection = Connection::plain(peer.parse().unwrap());
        Client::of(Some(connection), Some(&proxies), &map)
    }

    /// I10, CVE-2026-29794: a header is only as trustworthy as its sender.
    #[test]
    fn only_a_trusted_proxys_headers_are_read() {
        let spoofed = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
        ];
        let direct = client("203.0.113.9", &spoofed);
        assert_eq!(direct.address, Some("203.0.113.9".parse().unwrap()));
        assert!(!direct.is_encrypted);
        let proxied = client("10.0.0.1", &spoofed);
        assert_eq!(proxied.address, Some("192.0.2.1".parse().unwrap()));
        assert!(proxied.is_encrypted);
        let unknown = Client::of(None, None, &HeaderMap::new());
        assert_eq!(unknown, Client::default());
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        let table: [(&[&'static str], Option<&str>); 16] = [
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
            (&["\u{ff}, 192.0.2.1"], Some("192.0.2.1")),
            (&["192.0.2.1, \u{ff}"], None),
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
    fn one_hop_without_encryption_is_enough_to_refuse() {
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
