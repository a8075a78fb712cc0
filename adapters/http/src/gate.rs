//! The one way from the headers of a request to the decision about its key.

use core::fmt;
use core::net::IpAddr;
use core::pin::pin;
use std::sync::Arc;

use http::HeaderMap;
use keystile::{Decision, Denial, DenialCode, Millis, RateLimit, Request, UnixMillis};
use keystile_store::{Answer, Pending, StoreError};

use crate::credential::{Carriers, CredentialHeaders};
use crate::invalid_key_limit::InvalidKeyLimit;
use crate::key_checker::KeyChecker;
use crate::outcome::{Outcome, Passed, Refused};

/// Invalid keys from one address in a minute, unless a limit is set.
const INVALID_KEYS_PER_MINUTE: u32 = 60;

/// A request, as far as a gate needs it. It does not print the headers.
#[derive(Clone, Copy)]
pub struct RequestContext<'r> {
    headers: &'r HeaderMap,
    request: Request<'r>,
    address: Option<IpAddr>,
    now: UnixMillis,
}

impl<'r> RequestContext<'r> {
    /// The headers that the key is in, what the request wants, the
    /// [client's address](crate::Client::address) and one reading of the clock.
    #[must_use]
    #[inline(always)]
    pub fn new(
        headers: &'r HeaderMap,
        request: Request<'r>,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) -> Self {
        Self {
            headers,
            request: request.address(address),
            address,
            now,
        }
    }
}

/// Decides about requests by their keys: from memory if it can, otherwise with the store.
///
/// Lookups are throttled for addresses that have sent too many invalid keys; see
/// [`InvalidKeyLimit`]. The [crate] has an example.
pub struct Gate<C> {
    checker: C,
    credentials: CredentialHeaders,
    invalid_keys: Option<InvalidKeyLimit>,
}

impl<C> Gate<C> {
    /// A gate that reads keys from `X-API-Key` and `Authorization: Bearer`, and takes 60
    /// invalid keys a minute from one address.
    #[must_use]
    pub fn new(checker: C) -> Self {
        let invalid_keys = RateLimit::new(INVALID_KEYS_PER_MINUTE, Millis::from_secs(60));
        Self {
            checker,
            credentials: CredentialHeaders::new(),
            invalid_keys: invalid_keys.ok().map(InvalidKeyLimit::new),
        }
    }

    /// Reads keys from these headers.
    #[must_use]
    pub fn with_credentials(mut self, credentials: CredentialHeaders) -> Self {
        self.credentials = credentials;
        self
    }

    /// Limits invalid keys from one address; `None` if something else does.
    #[must_use]
    pub fn with_invalid_key_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.invalid_keys = limit.into().map(InvalidKeyLimit::new);
        self
    }

    /// The headers that keys are read from.
    #[must_use]
    pub const fn credentials(&self) -> &CredentialHeaders {
        &self.credentials
    }

    /// The limit on invalid keys from one address.
    #[must_use]
    pub const fn invalid_keys(&self) -> Option<&InvalidKeyLimit> {
        self.invalid_keys.as_ref()
    }
}

impl<C: KeyChecker> Gate<C> {
    /// Decides about a request.
    ///
    /// # Errors
    /// A refusal, also if the store is unavailable.
    pub async fn check(&self, context: &RequestContext<'_>) -> Result<Passed, Refused> {
        match self.try_check(context) {
            Outcome::Passed(passed) => Ok(passed),
            Outcome::Refused(refused) => Err(refused),
            Outcome::NeedsStore => self.check_with_store(context).await,
        }
    }

    /// Decides about a request from memory: it neither waits nor makes a future. This is
    /// what a service does on nearly every request.
    // store-forwarding stall: build in place (see ARCHITECTURE.md)
    #[inline(always)]
    pub fn try_check(&self, context: &RequestContext<'_>) -> Outcome {
        let (credential, carriers) = match self.credentials.extract(context.headers) {
            Ok(found) => found,
            Err(denial) => return Outcome::Refused(self.refuse(denial, None, context)),
        };
        let credential = credential.as_bytes();
        match self
            .checker
            .try_check(credential, &context.request, context.now)
        {
            Ok(answer) => match self.settle(answer, carriers, context) {
                Ok(passed) => Outcome::Passed(passed),
                Err(refused) => Outcome::Refused(refused),
            },
            Err(Pending { .. }) => Outcome::NeedsStore,
        }
    }

    /// Decides with the store about a request that memory could not decide about.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_with_store(&self, context: &RequestContext<'_>) -> Result<Passed, Refused> {
        let (credential, carriers) = match self.credentials.extract(context.headers) {
            Ok(found) => found,
            Err(denial) => return Err(self.refuse(denial, None, context)),
        };
        let credential = credential.as_bytes();
        let (request, now) = (&context.request, context.now);
        // Pinned here, and not moved into what awaits it: each copy would be kilobytes.
        let check = pin!(self.checker.check(credential, request, now));
        let answer = match (&self.invalid_keys, context.address) {
            (Some(limit), Some(address)) => limit.throttle(address, now, check).await,
            _ => Some(check.await),
        };
        match answer {
            Some(answer) => self.settle(answer, carriers, context),
            None => Err(Refused::store_unavailable()),
        }
    }

    #[inline(always)]
    fn settle(
        &self,
        answer: Answer,
        carriers: Carriers,
        context: &RequestContext<'_>,
    ) -> Result<Passed, Refused> {
        match (answer.decision, answer.record) {
            (Decision::Allow(allowed), Some(record)) => Ok(Passed::new(allowed, record, carriers)),
            // An allow has a record.
            (Decision::Allow(_), None) => Err(Refused::store_unavailable()),
            (Decision::Deny(denial), _) => Err(self.refuse(denial, answer.failure, context)),
        }
    }

    /// The refusal of a denial. A key that is not known counts as invalid.
    #[cold]
    fn refuse(
        &self,
        denial: Denial,
        failure: Option<Arc<StoreError>>,
        context: &RequestContext<'_>,
    ) -> Refused {
        let wait = match (&self.invalid_keys, context.address) {
            (Some(limit), Some(address)) if denial.code() == DenialCode::InvalidKey => {
                limit.count(address, context.now).err()
            }
            _ => None,
        };
        Refused::new(denial, wait, failure)
    }
}

impl fmt::Debug for RequestContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("request", &self.request)
            .field("address", &self.address)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Gate<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("credentials", &self.credentials)
            .field("invalid_keys", &self.invalid_keys)
            .finish_non_exhaustive()
    }
}
