//! What a key may do: permissions, endpoints, networks, rate limits, and templates of them.

pub(crate) mod endpoint;
pub(crate) mod fixed_point;
pub(crate) mod method;
pub(crate) mod network;
pub(crate) mod never_matches;
pub(crate) mod path;
pub(crate) mod permission;
pub(crate) mod rate_limit;
mod rate_share;
pub(crate) mod rate_state;
pub(crate) mod requirement;
pub(crate) mod template;
