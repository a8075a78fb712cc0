//! How a service answers: which statuses, and which header fields about rate limits.

use crate::decision::rate_limit_fields::RateLimitFields;
use crate::decision::status_policy::StatusPolicy;

/// How a service answers: which statuses, and which header fields about rate limits.
///
/// A [`StatusPolicy`] alone is one too, with the default fields.
///
/// ```
/// use keystile::{Denial, Cause, RateLimitFields, ResponsePolicy, StatusPolicy, respond};
/// let policy = ResponsePolicy::new(StatusPolicy::Express, RateLimitFields::X);
/// let denial = Denial::new(Cause::Revoked);
/// assert_eq!(respond(&denial, policy, None).status, 403);
/// assert_eq!(respond(&denial, StatusPolicy::Rfc9110, None).status, 401);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ResponsePolicy {
    /// Which status a denial is answered with.
    pub status: StatusPolicy,
    /// The fields that tell a client about its rate limit.
    pub rate_limit_fields: RateLimitFields,
}

impl ResponsePolicy {
    /// The policy with these parts.
    #[must_use]
    pub const fn new(status: StatusPolicy, rate_limit_fields: RateLimitFields) -> Self {
        Self {
            status,
            rate_limit_fields,
        }
    }
}

impl From<StatusPolicy> for ResponsePolicy {
    fn from(status: StatusPolicy) -> Self {
        Self::new(status, RateLimitFields::default())
    }
}
