//! The key that a request was allowed by.

use keystile::{Allowed, Denial, KeyId, KeyRecord, PermissionSet, Requirement, StatusPolicy};
use keystile_http::{Passed, Rejection};

/// The verified key of a request, in the extensions of each request that passes.
///
/// It has no part of the secret, and can be logged. With the feature `axum` it is an
/// extractor; so is `Option<VerifiedKey>`, for routes whose layer is
/// [`optional`](crate::ApiKeyLayer::optional).
#[derive(Clone, Debug)]
pub struct VerifiedKey {
    passed: Passed,
    policy: StatusPolicy,
}

impl VerifiedKey {
    #[inline(always)]
    pub(crate) const fn new(passed: Passed, policy: StatusPolicy) -> Self {
        Self { passed, policy }
    }

    /// The public id.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.passed.allowed.key_id
    }

    /// The client's name, for people.
    #[must_use]
    pub fn client_name(&self) -> &str {
        &self.passed.record.client_name
    }

    /// The account or tenant that the key belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.passed.record.owner.as_deref()
    }

    /// What the key was granted.
    #[must_use]
    pub fn permissions(&self) -> &PermissionSet {
        &self.passed.record.permissions
    }

    /// JSON text that the service keeps with the key.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        self.passed.record.metadata.as_deref()
    }

    /// The decision: what is left of the limits, and whether the key is being replaced.
    #[must_use]
    pub const fn allowed(&self) -> &Allowed {
        &self.passed.allowed
    }

    /// The key's whole record.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        &self.passed.record
    }

    /// Checks that the key has what `requirement` names, if only a handler knows what that
    /// is.
    ///
    /// The request was already counted against the rate limit. What a route always requires
    /// belongs in its layer: [`ApiKeyLayer::requires`](crate::ApiKeyLayer::requires).
    ///
    /// # Errors
    /// A response that names the missing permissions.
    pub fn require(&self, requirement: &Requirement) -> Result<(), Rejection> {
        match Denial::missing_from(
            requirement,
            &self.passed.record.permissions,
            self.passed.allowed.key_id,
        ) {
            None => Ok(()),
            Some(denial) => Err(Rejection::of(&denial, self.policy, Some(requirement))),
        }
    }
}
