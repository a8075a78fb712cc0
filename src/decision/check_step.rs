//! The names of the checks that a decision consists of.

/// A check that a decision consists of, in the order of the variants. The names never change.
///
/// ```
/// use keystile::CheckStep;
/// assert_eq!(CheckStep::RateLimit.as_str(), "rate_limit");
/// assert!(CheckStep::Status < CheckStep::Permission, "it comes first, and so refuses first");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CheckStep {
    /// `secret`: whether the presented text is the key.
    Secret,
    /// `status`: whether the key is active.
    Status,
    /// `expiry`: whether it has expired.
    Expiry,
    /// `overlap`: whether it was replaced, and its overlap is over.
    Overlap,
    /// `environment`: whether it is for the environment of the request.
    Environment,
    /// `network`: whether the client's address is in one of its networks.
    Network,
    /// `endpoint`: whether the path is canonical, and one of its rules matches.
    Endpoint,
    /// `permission`: whether it has the permissions that the request needs.
    Permission,
    /// `rate_limit`: whether its rate limit lets one more request pass.
    RateLimit,
    /// `uses`: whether it has a use left.
    Uses,
}

impl CheckStep {
    /// The stable name, as JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Status => "status",
            Self::Expiry => "expiry",
            Self::Overlap => "overlap",
            Self::Environment => "environment",
            Self::Network => "network",
            Self::Endpoint => "endpoint",
            Self::Permission => "permission",
            Self::RateLimit => "rate_limit",
            Self::Uses => "uses",
        }
    }
}
