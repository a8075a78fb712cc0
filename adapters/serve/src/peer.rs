//! Where a request comes from: the peer of its socket, or what a trusted peer says.

use core::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap};
use keystile::Networks;

/// The other end of the connection that a request came over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Peer {
    /// The address; an IPv4 address that came over an IPv6 socket is one of IPv4.
    pub(crate) const fn address(self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

/// The peer, if the server noted it and it is among the trusted.
pub(crate) fn is_trusted(extensions: &Extensions, trusted: &Networks) -> bool {
    let peer = extensions.get::<Peer>();
    peer.is_some_and(|peer| trusted.contains(peer.address()))
}

/// The address of the client: the peer's, or where that is a trusted proxy, the last one
/// in `X-Forwarded-For` that is none. Unknown where that cannot be read.
pub(crate) fn client(
    extensions: &Extensions,
    headers: &HeaderMap,
    trusted: &Networks,
) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>()?.address();
    if !trusted.contains(peer) {
        return Some(peer);
    }
    let mut nearest = peer;
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    // Each hop adds whom it was asked by: all before the last stranger is its own claim.
    for value in values.into_iter().rev() {
        for hop in value.to_str().ok()?.rsplit(',') {
            nearest = read(hop.trim_matches([' ', '\t']))?;
            if !trusted.contains(nearest) {
                return Some(nearest);
            }
        }
    }
    Some(nearest)
}

/// An address, also in brackets or with a port.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address = bare.parse().ok().or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&'static str]) -> Option<String> {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted = Networks::new(["10.0.0.0/8"]).unwrap();
        client(&extensions, &headers, &trusted).map(|address| address.to_string())
    }

    /// I10, CVE-2026-29794: a header is as good as whoever sent it.
    #[test]
    fn forwarded_for_is_believed_of_a_trusted_peer_alone() {
        let table: [(&str, &[&'static str], Option<&str>); 9] = [
            ("203.0.113.9", &["192.0.2.1"], Some("203.0.113.9")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["192.0.2.1"], Some("192.0.2.1")),
            ("::ffff:10.0.0.1", &["192.0.2.1"], Some("192.0.2.1")),
            ("10.0.0.1", &["198.51.100.7, 192.0.2.1"], Some("192.0.2.1")),
            ("10.0.0.1", &["192.0.2.1, 10.9.9.9"], Some("192.0.2.1")),
            (
                "10.0.0.1",
                &["198.51.100.7", "192.0.2.1"],
                Some("192.0.2.1"),
            ),
            ("10.0.0.1", &["[2001:db8::1]:4711"], Some("2001:db8::1")),
            ("10.0.0.1", &["192.0.2.1, unknown"], None),
        ];
        for (peer, forwarded, expected) in table {
            assert_eq!(seen(peer, forwarded).as_deref(), expected, "{forwarded:?}");
        }
        assert_eq!(
            client(
                &Extensions::new(),
                &HeaderMap::new(),
                &Networks::new([""; 0]).unwrap()
            ),
            None
        );
    }
}
