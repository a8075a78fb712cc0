//! Whose key a request was allowed by.

use std::sync::Arc;

use keystile::{Allowed, Denial, KeyId, KeyRecord, PermissionSet, Requirement, StatusPolicy};

use crate::rejection::Rejection;

/// The verified key of a request: it stands among the extensions of each request that may
/// pass.
///
/// It has no part of the secret, and can be logged. With the feature `axum` it is an
/// extractor; `Option<VerifiedKey>` is one too, for routes behind a layer that is
/// [`optional`](crate::ApiKeyLayer::optional).
#[derive(Clone, Debug)]
pub struct VerifiedKey {
    allowed: Allowed,
    record: Arc<KeyRecord>,
    policy: StatusPolicy,
}

impl VerifiedKey {
    pub(crate) const fn new(
        allowed: Allowed,
        record: Arc<KeyRecord>,
        policy: StatusPolicy,
    ) -> Self {
        Self {
            allowed,
            record,
            policy,
        }
    }

    /// The public id.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.allowed.key_id
    }

    /// Whose key it is, for people.
    #[must_use]
    pub fn client_name(&self) -> &str {
        &self.record.client_name
    }

    /// The account or tenant that the key belongs to.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.record.owner.as_deref()
    }

    /// What the key was granted.
    #[must_use]
    pub fn permissions(&self) -> &PermissionSet {
        &self.record.permissions
    }

    /// JSON text of the service's own, kept with the key.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        self.record.metadata.as_deref()
    }

    /// The decision: what is left of the limits, and whether the key is being replaced.
    #[must_use]
    pub const fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// The key's whole record.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Whether the key has what `requirement` asks; for what only a handler can know.
    ///
    /// The request has been counted against the rate limit by then. What a route always
    /// asks stands better in its layer: [`ApiKeyLayer::requires`](crate::ApiKeyLayer::requires).
    ///
    /// # Errors
    /// A refusal that names what is missing, to be answered with.
    pub fn require(&self, requirement: &Requirement) -> Result<(), Rejection> {
        match Denial::missing_from(requirement, &self.record.permissions, self.allowed.key_id) {
            None => Ok(()),
            Some(denial) => Err(Rejection::of(&denial, self.policy, Some(requirement))),
        }
    }
}
