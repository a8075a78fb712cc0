//! The options that describe a request.

use core::net::IpAddr;

use clap::{Args, ValueEnum};
use keystile::{Environment, PathProfile, Request, Requirement};

use crate::values;

/// The request that a decision is about.
#[derive(Args, Debug)]
pub(crate) struct RequestArguments {
    /// Permissions that the request needs, such as 'admin OR (read AND audit)'.
    #[arg(long, value_name = "REQ", value_parser = values::requirement)]
    pub(crate) requires: Option<Requirement>,
    /// The request's method.
    #[arg(long, value_name = "M", value_parser = values::method, requires = "path")]
    #[arg(default_value = "GET")]
    method: String,
    /// The request's path as the router sees it, without the query.
    #[arg(long, value_name = "P", value_parser = values::path)]
    path: Option<String>,
    /// Which paths the service accepts: only those that every router reads alike, or %2F too,
    /// as data inside a segment.
    #[arg(long, value_enum, default_value = "strict", requires = "path")]
    path_profile: Profile,
    /// The client's IP address.
    #[arg(long, value_name = "IP", value_parser = values::address)]
    ip: Option<IpAddr>,
    /// The environment of the service; keys of any other environment, or of none, are
    /// denied.
    #[arg(long, visible_alias = "environment", value_name = "E", value_parser = values::environment)]
    env: Option<Environment>,
}

impl RequestArguments {
    pub(crate) fn request(&self) -> Request<'_> {
        let request = Request::new()
            .requires(&self.requires)
            .address(self.ip)
            .environment(&self.env)
            .path_profile(self.path_profile.core());
        match &self.path {
            Some(path) => request.endpoint(&self.method, path),
            None => request,
        }
    }
}

/// Which request paths a service accepts.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Profile {
    Strict,
    EncodedSlashIsData,
}

impl Profile {
    pub(crate) const fn core(self) -> PathProfile {
        match self {
            Self::Strict => PathProfile::Strict,
            Self::EncodedSlashIsData => PathProfile::EncodedSlashIsData,
        }
    }
}
