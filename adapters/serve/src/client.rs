//! The client of a request: the peer of its socket, or whom a trusted peer names.

use http::{Extensions, HeaderMap};
use keystile::Networks;
use keystile_http::{Client, Connection};

/// The client, by the connection that the server put into the extensions.
pub(crate) fn client(extensions: &Extensions, headers: &HeaderMap, trusted: &Networks) -> Client {
    Client::of(extensions.get().copied(), Some(trusted), headers)
}

/// Whether the peer is known, and one of the trusted.
pub(crate) fn is_peer_trusted(extensions: &Extensions, trusted: &Networks) -> bool {
    let connection = extensions.get::<Connection>();
    connection.is_some_and(|connection| connection.is_from(trusted))
}
