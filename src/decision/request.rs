//! What a caller wants to do with a key.

use core::net::IpAddr;

use crate::key::label::Environment;
use crate::policy::path::PathProfile;
use crate::policy::requirement::Requirement;

/// What a caller wants to do.
///
/// What is left out is not checked: a request without a requirement needs no permission.
/// But a key that is restricted to endpoints or networks is refused if the request does not
/// have its own.
///
/// Setters take a value or an `Option` of it.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let wanted = IssueRequest::new("Acme")?.permissions(["read"])?.endpoints(["/api/metrics/*"])?;
/// # let issued = Issuer::new(format.clone()).issue(&wanted, &mut SysRng, now)?;
/// # let verifier = Verifier::new(format);
/// # let verify = |request: &Request| {
/// #     let (key, record) = (issued.key.expose().as_bytes(), Some(&issued.record));
/// #     verifier.verify(key, record, request, &mut Usage::default(), now)
/// # };
/// use std::net::IpAddr;
/// let read = Requirement::parse("read")?;
/// let request = Request::new()
///     .requires(&read)
///     .endpoint("GET", "/api/metrics/cpu")
///     .address(IpAddr::from([192, 0, 2, 7]));
/// assert!(verify(&request).is_allow());
///
/// // The key is restricted to endpoints, and this request has none.
/// let denied = verify(&Request::new().requires(&read));
/// assert_eq!(denied.denial().unwrap().code(), DenialCode::EndpointNotAllowed);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'r> {
    pub(crate) requirement: Option<&'r Requirement>,
    pub(crate) endpoint: Option<(&'r [u8], &'r [u8])>,
    pub(crate) environment: Option<&'r Environment>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) path_profile: PathProfile,
}

impl<'r> Request<'r> {
    /// A request that asks for nothing but a valid key.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            requirement: None,
            endpoint: None,
            environment: None,
            address: None,
            path_profile: PathProfile::Strict,
        }
    }

    /// The permissions that the route needs.
    #[must_use]
    #[inline]
    pub fn requires(mut self, requirement: impl Into<Option<&'r Requirement>>) -> Self {
        self.requirement = requirement.into();
        self
    }

    /// The method and the path *as they are dispatched*, after any rewriting; the path
    /// without its query.
    #[must_use]
    pub const fn endpoint(self, method: &'r str, path: &'r str) -> Self {
        self.endpoint_bytes(method.as_bytes(), path.as_bytes())
    }

    /// The same as [`endpoint`](Self::endpoint), from bytes as they were received.
    #[must_use]
    pub const fn endpoint_bytes(mut self, method: &'r [u8], path: &'r [u8]) -> Self {
        self.endpoint = Some((method, path));
        self
    }

    /// The deployment that receives the request: keys of any other, or of none, are
    /// refused.
    #[must_use]
    #[inline]
    pub fn environment(mut self, environment: impl Into<Option<&'r Environment>>) -> Self {
        self.environment = environment.into();
        self
    }

    /// The address of the client, from the socket or a trusted proxy.
    #[must_use]
    #[inline]
    pub fn address(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.address = address.into();
        self
    }

    /// Which paths the service accepts; [`PathProfile::Strict`] unless it is set.
    #[must_use]
    #[inline]
    pub const fn path_profile(mut self, profile: PathProfile) -> Self {
        self.path_profile = profile;
        self
    }
}
