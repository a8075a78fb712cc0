//! What a gate decided about a request.

use core::fmt;
use std::sync::Arc;

use keystile::{Allowed, Cause, Denial, KeyRecord, Millis, Requirement, StatusPolicy};
use keystile_store::StoreError;

use crate::credential::Carriers;
use crate::rejection::{Rejection, TOO_MANY_INVALID_KEYS};

/// What a gate decided from memory.
#[derive(Debug)]
#[must_use = "an outcome that is not looked at lets every request pass"]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum GateOutcome {
    /// The request may pass.
    Passed(Passed),
    /// The request is denied.
    Denied(Denied),
    /// Only the store can decide: [`Gate::check_with_store`](crate::Gate::check_with_store).
    NeedsStore,
}

/// A request that may pass.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Passed {
    /// The decision: what is left of the limits, and whether the key is being replaced.
    pub allowed: Allowed,
    /// The key's record.
    pub record: Arc<KeyRecord>,
    /// For [`CredentialHeaders::remove`](crate::CredentialHeaders::remove).
    pub carriers: Carriers,
}

/// A request that is denied, and what the response to it needs.
#[must_use = "a denied request must be answered with its rejection"]
pub struct Denied {
    denial: Box<Denial>,
    /// How long until one more invalid key is taken from the address, if it is over the limit.
    invalid_key_wait: Option<Millis>,
    /// What the store reported, if it is unavailable.
    failure: Option<Arc<StoreError>>,
}

impl Passed {
    #[inline(always)]
    pub(crate) const fn new(allowed: Allowed, record: Arc<KeyRecord>, carriers: Carriers) -> Self {
        Self {
            allowed,
            record,
            carriers,
        }
    }
}

impl Denied {
    pub(crate) fn new(
        denial: Denial,
        invalid_key_wait: Option<Millis>,
        failure: Option<Arc<StoreError>>,
    ) -> Self {
        Self {
            denial: Box::new(denial),
            invalid_key_wait,
            failure,
        }
    }

    pub(crate) fn store_unavailable() -> Self {
        Self::new(Denial::new(Cause::StoreUnavailable), None, None)
    }

    /// Why the request was denied.
    #[must_use]
    pub const fn denial(&self) -> &Denial {
        &self.denial
    }

    /// The denial, without the rest.
    #[must_use]
    pub fn into_denial(self) -> Denial {
        *self.denial
    }

    /// What the store reported if it is unavailable; for the log.
    #[must_use]
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.as_deref()
    }

    /// The stable code of the response: the denial's, or `too_many_invalid_keys`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.invalid_key_wait {
            Some(_) => TOO_MANY_INVALID_KEYS,
            None => self.denial.code().as_str(),
        }
    }

    /// The response. `requirement` is the one that the request was checked against.
    #[must_use]
    pub fn rejection(&self, policy: StatusPolicy, requirement: Option<&Requirement>) -> Rejection {
        match self.invalid_key_wait {
            Some(wait) => Rejection::too_many_invalid_keys(wait),
            None => Rejection::of(&self.denial, policy, requirement),
        }
    }
}

impl fmt::Debug for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denied")
            .field("code", &self.code())
            .finish_non_exhaustive()
    }
}
