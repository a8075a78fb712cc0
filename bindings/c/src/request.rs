//! What a caller of a service wants to do.

use keystile::{Environment, Request};

use crate::network::keystile_address;
use crate::requirement::keystile_requirement;
use crate::status::keystile_status;
use crate::text::keystile_str;
use crate::wall::begins_with_its_size;

/// What a request asks for. What is left at zero is not asked: without a requirement no
/// permission is needed. But a key that is restricted to endpoints or networks is refused
/// where the request does not say its own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_request<'a> {
    /// `sizeof(keystile_request)`.
    pub struct_size: usize,
    /// Optional: the permissions that the route needs.
    pub requirement: Option<&'a keystile_requirement>,
    /// Optional: the method, as it is dispatched; any bytes.
    pub method: keystile_str,
    /// Optional: the path as it is dispatched, without its query; any bytes.
    pub path: keystile_str,
    /// Optional: the deployment that asks; keys of any other, or of none, are refused.
    pub environment: keystile_str,
    /// Optional: the address of the peer, as the socket or a trusted proxy tells it.
    pub address: keystile_address,
}

begins_with_its_size!(keystile_request<'_>);

impl<'a> keystile_request<'a> {
    /// The environment, for [`core`](Self::core) to borrow.
    #[inline]
    pub(crate) fn asked_environment(&self) -> Result<Option<Environment>, keystile_status> {
        let environment = self.environment.optional()?;
        Ok(environment.map(Environment::new).transpose()?)
    }

    #[inline]
    pub(crate) fn core<'r>(
        &self,
        environment: Option<&'r Environment>,
    ) -> Result<Request<'r>, keystile_status>
    where
        'a: 'r,
    {
        let mut request = Request::new();
        if let Some(requirement) = self.requirement {
            request = request.requires(&requirement.0);
        }
        let (method, path) = (self.method.bytes()?, self.path.bytes()?);
        if method.is_some() || path.is_some() {
            request = request.endpoint_bytes(method.unwrap_or_default(), path.unwrap_or_default());
        }
        if let Some(environment) = environment {
            request = request.in_environment(environment);
        }
        if let Some(address) = self.address.core()? {
            request = request.from_address(address);
        }
        Ok(request)
    }
}
