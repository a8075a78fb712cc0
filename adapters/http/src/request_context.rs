//! What a gate needs to know of a request.

use core::fmt;
use core::net::IpAddr;

use http::HeaderMap;
use keystile::{Request, UnixMillis};

/// A request, as far as a gate needs it. Its `Debug` output does not contain the headers.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use http::HeaderMap;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?.networks(["192.0.2.0/24"])?, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile_http::{Gate, RequestContext};
///
/// let gate = Gate::new(authenticator);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", issued.key.expose().parse()?);
/// let context = |address: &str| {
///     let address = address.parse().ok();
///     RequestContext::new(&headers, Request::new(), address, now)
/// };
/// assert!(gate.check(&context("192.0.2.7")).await.is_ok());
/// let denied = gate.check(&context("198.51.100.7")).await.unwrap_err();
/// assert_eq!(denied.code(), "network_not_allowed");
/// assert!(!format!("{:?}", context("192.0.2.7")).contains(issued.key.expose()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
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
