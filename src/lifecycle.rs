//! How a record changes: issuing, changing, rotating, delegating, revoking, suspending, planning.

pub(crate) mod change;
pub(crate) mod delegate;
pub(crate) mod issue;
pub(crate) mod issue_request;
pub(crate) mod issuer;
pub(crate) mod key_change;
pub(crate) mod lifetime;
pub(crate) mod plan;
pub(crate) mod rotate;
pub(crate) mod rotation_policy;
#[cfg(feature = "serde")]
mod rotation_serde;
pub(crate) mod status;
pub(crate) mod successor_format;
