//! What a gate needs to know of a request.

use core::fmt;
use core::net::IpAddr;

use http::HeaderMap;
use keystile::{Request, UnixMillis};

/// A request, as far as a gate needs it. Its `Debug` output does not contain the headers.
#[derive(Clone, Copy)]
pub struct RequestContext<'r> {
    pub(crate) headers: &'r HeaderMap,
    pub(crate) request: Request<'r>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) now: UnixMillis,
}

impl<'r> RequestContext<'r> {
    /// The headers that the key is in, what the request wants, the
    /// [client's address](crate::Client::address) and one reading of the clock.
    ///
    /// `address` replaces the one in `request`, `None` too: the key's networks and the limit
    /// on invalid keys must see the same client.
    #[must_use]
    #[inline(always)]
    pub fn new(
        headers: &'r HeaderMap,
        request: Request<'r>,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) -> Self {
        Self {
            headers,
            request: request.address(address),
            address,
            now,
        }
    }
}

impl fmt::Debug for RequestContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("request", &self.request)
            .field("address", &self.address)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
