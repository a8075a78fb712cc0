//! What the caller of a service wants to do.

use keystile::{Environment, Request};

use crate::boundary::{CallResult, begins_with_its_size};
use crate::endpoint::core_path_profile;
use crate::network::keystile_address;
use crate::requirement::keystile_requirement;
use crate::text::keystile_str;

/// What a request asks for. Fields left at zero are not checked: without a requirement
/// no permission is needed. But a key that is restricted to endpoints or networks is
/// refused if the request does not give its own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_request<'a> {
    /// `sizeof(keystile_request)`.
    pub struct_size: usize,
    /// Optional: the permissions that the route requires.
    pub requirement: Option<&'a keystile_requirement>,
    /// Optional: the method, as it is dispatched; any bytes.
    pub method: keystile_str,
    /// Optional: the path as it is dispatched, without its query; any bytes.
    pub path: keystile_str,
    /// Optional: the deployment that asks; keys for any other, or for none, are
    /// refused.
    pub environment: keystile_str,
    /// Optional: the address of the peer, from the socket or a trusted proxy.
    pub address: keystile_address,
    /// A `keystile_path_profile`: which paths the service accepts.
    pub path_profile: u32,
}

begins_with_its_size!(keystile_request<'_>);

impl keystile_request<'_> {
    /// Calls a function with the core's request.
    ///
    /// The request is passed by reference and not returned, because a copy of it is
    /// measurable on the hot path.
    #[inline]
    pub(crate) fn ask(&self, work: impl FnOnce(&Request<'_>) -> CallResult) -> CallResult {
        let environment = match self.environment.optional()? {
            None => None,
            Some(name) => Some(Environment::new(name)?),
        };
        let (method, path) = (self.method.bytes()?, self.path.bytes()?);
        let mut request = Request::new()
            .requires(self.requirement.map(|requirement| &requirement.0))
            .environment(&environment)
            .address(self.address.core()?);
        if method.is_some() || path.is_some() {
            request = request
                .endpoint_bytes(method.unwrap_or_default(), path.unwrap_or_default())
                .path_profile(core_path_profile(self.path_profile)?);
        }
        work(&request)
    }
}
