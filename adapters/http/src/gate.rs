//! The one way from the headers of a request to the decision about its key.

use core::fmt;
use core::pin::{Pin, pin};
use std::sync::Arc;

use keystile::{Carriers, Credential, CredentialSources, Decision, Denial, Millis, RateLimit};
use keystile_store::{Answer, Pending, StoreError};

use crate::credential::CredentialHeaders;
use crate::invalid_key_limit::InvalidKeyLimit;
use crate::key_checker::KeyChecker;
use crate::outcome::{Denied, GateOutcome, Passed};
use crate::request_context::RequestContext;

/// Invalid keys from one address in a minute, unless a limit is set.
const INVALID_KEYS_PER_MINUTE: u32 = 60;

/// Decides about requests by their keys: from memory if it can, otherwise with the store.
///
/// Lookups are throttled for addresses that have sent too many invalid keys; see
/// [`InvalidKeyLimit`]. The [crate] has an example.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use http::HeaderMap;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile_http::{Gate, RequestContext};
///
/// let gate = Gate::new(authenticator);
/// let mut headers = HeaderMap::new();
/// let context = RequestContext::new(&headers, Request::new(), None, now);
/// assert_eq!(gate.check(&context).await.unwrap_err().code(), "missing_credential");
///
/// headers.insert("x-api-key", issued.key.expose().parse()?);
/// let context = RequestContext::new(&headers, Request::new(), None, now);
/// let passed = gate.check(&context).await.unwrap();
/// assert_eq!(&*passed.record.client_name, "Acme");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Gate<C> {
    checker: C,
    credentials: CredentialHeaders,
    invalid_keys: Option<InvalidKeyLimit>,
}

impl<C: KeyChecker> Gate<C> {
    /// A gate that reads keys from `X-API-Key` and `Authorization: Bearer`, and takes 60
    /// invalid keys a minute from one address.
    #[must_use]
    pub fn new(checker: C) -> Self {
        let invalid_keys = RateLimit::new(INVALID_KEYS_PER_MINUTE, Millis::from_secs(60));
        Self {
            credentials: CredentialHeaders::new(CredentialSources::new(), checker.verifier()),
            checker,
            invalid_keys: invalid_keys.ok().map(InvalidKeyLimit::new),
        }
    }

    /// Reads keys from these sources.
    #[must_use]
    pub fn with_sources(mut self, sources: CredentialSources) -> Self {
        self.credentials = CredentialHeaders::new(sources, self.checker.verifier());
        self
    }
}

impl<C> Gate<C> {
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
    pub async fn check(&self, context: &RequestContext<'_>) -> Result<Passed, Denied> {
        match self.try_check(context) {
            GateOutcome::Passed(passed) => Ok(passed),
            GateOutcome::Denied(denied) => Err(denied),
            GateOutcome::NeedsStore => self.check_with_store(context).await,
        }
    }

    /// Decides about a request from memory: it neither waits nor makes a future. This is
    /// what a service does on nearly every request.
    // store-forwarding stall: build in place (see ARCHITECTURE.md)
    #[inline(always)]
    pub fn try_check(&self, context: &RequestContext<'_>) -> GateOutcome {
        let credential = match self.credentials.extract(context.headers) {
            Ok(found) => found,
            Err(denial) => return GateOutcome::Denied(self.deny(denial, None, context)),
        };
        let (carriers, credential) = (credential.carriers(), credential.as_bytes());
        match self
            .checker
            .try_check(credential, &context.request, context.now)
        {
            Ok(answer) => match self.settle(answer, carriers, context) {
                Ok(passed) => GateOutcome::Passed(passed),
                Err(denied) => GateOutcome::Denied(denied),
            },
            Err(Pending { .. }) => GateOutcome::NeedsStore,
        }
    }

    /// Decides with the store about a request that memory could not decide about.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_with_store(&self, context: &RequestContext<'_>) -> Result<Passed, Denied> {
        let credential = match self.credentials.extract(context.headers) {
            Ok(found) => found,
            Err(denial) => return Err(self.deny(denial, None, context)),
        };
        let (carriers, credential) = (credential.carriers(), credential.as_bytes());
        let (request, now) = (&context.request, context.now);
        // Pinned here, not moved into the future that awaits it: each copy would be kilobytes.
        let check = pin!(self.checker.check(credential, request, now));
        let answer = match (&self.invalid_keys, context.address) {
            (Some(limit), Some(address)) => limit.throttle(address, now, check).await,
            _ => Some(check.await),
        };
        match answer {
            Some(answer) => self.settle(answer, carriers, context),
            None => Err(Denied::store_unavailable()),
        }
    }

    /// As [`check_with_store`](Self::check_with_store), by another check of this checker, such
    /// as [`Authenticator::own_key`](keystile_store::Authenticator::own_key). The credential is
    /// read in the same way, and invalid keys count together.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_by<'c>(
        &'c self,
        context: &RequestContext<'c>,
        check: impl FnOnce(&'c C, Credential<'c>) -> Pin<Box<dyn Future<Output = Answer> + Send + 'c>>,
    ) -> Result<Passed, Denied> {
        let credential = match self.credentials.extract(context.headers) {
            Ok(found) => found,
            Err(denial) => return Err(self.deny(denial, None, context)),
        };
        let carriers = credential.carriers();
        let check = check(&self.checker, credential);
        let answer = match (&self.invalid_keys, context.address) {
            (Some(limit), Some(address)) => limit.throttle(address, context.now, check).await,
            _ => Some(check.await),
        };
        match answer {
            Some(answer) => self.settle(answer, carriers, context),
            None => Err(Denied::store_unavailable()),
        }
    }

    #[inline(always)]
    fn settle(
        &self,
        answer: Answer,
        carriers: Carriers,
        context: &RequestContext<'_>,
    ) -> Result<Passed, Denied> {
        match (answer.decision, answer.record) {
            (Decision::Allow(allowed), Some(record)) => Ok(Passed::new(allowed, record, carriers)),
            // An allow has a record.
            (Decision::Allow(_), None) => Err(Denied::store_unavailable()),
            (Decision::Deny(denial), _) => Err(self.deny(denial, answer.failure, context)),
        }
    }

    /// The denied request of a denial. A guess counts as an invalid key.
    #[cold]
    fn deny(
        &self,
        denial: Denial,
        failure: Option<Arc<StoreError>>,
        context: &RequestContext<'_>,
    ) -> Denied {
        let invalid_key_wait = match (&self.invalid_keys, context.address) {
            (Some(limit), Some(address)) if denial.is_guess() => {
                limit.count(address, context.now).err()
            }
            _ => None,
        };
        Denied::new(denial, invalid_key_wait, failure)
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
