//! A keyring over a store, for services on tokio: ask it about each request.

mod aftercare;
mod builder;
mod changes;
mod decide;
mod directory;
mod flights;
mod uses;
mod verbs;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile::{
    Allowed, Cause, Check, Decision, Denial, KeyRecord, Keyring, Request, Stats, UnixMillis,
    Verifier,
};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::aftercare::Marks;
use self::changes::Position;
use self::directory::Directory;
use self::flights::Flights;
use self::uses::Uses;
use crate::error::StoreError;
use crate::store::Store;

pub use self::builder::AuthenticatorBuilder;

/// A [`Keyring`] over a store: it fetches what is not cached, hears of changes that other
/// processes make, and notes last uses.
///
/// - Requests that wait for the same key share one fetch.
/// - What is cached and has not run out is answered while the store is down; all else is
///   then refused as [`Cause::StoreUnavailable`].
/// - The verbs here, as [`revoke`](Self::revoke), are in force in this process when they
///   return. A change that another process writes is in force within about a second, by
///   the store's events, and at the latest when the record's TTL is over.
/// - A key whose uses are counted is judged by the store on each request, and so is exact
///   over any number of processes. A rate limit alone is kept by each process for itself.
/// - Last uses are noted every few seconds. [`stop`](Self::stop) notes the last of them.
///
/// It is a handle: a clone stands for the same keyring. Its tasks end when the last one is
/// dropped.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use keystile::{
///     issue, DenialCode, IssueRequest, KeyFormat, PepperRing, Request, SysRng, UnixMillis,
///     Verifier,
/// };
/// use keystile_store::{Authenticator, MemoryStore};
///
/// let format = KeyFormat::structured("acme")?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let store = Arc::new(MemoryStore::new());
/// let authenticator = Authenticator::builder(store, Verifier::new(format.clone())).build()?;
///
/// let request = IssueRequest::new("Acme Ltd")?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// authenticator.save_issued(&issued).await?;
///
/// // The first check reads the store, and the next ones do not.
/// let key = issued.key.expose().as_bytes();
/// let answer = authenticator.check(key, &Request::new(), now).await;
/// assert!(answer.decision.is_allow());
/// assert_eq!(&*answer.record.unwrap().client_name, "Acme Ltd");
/// assert!(authenticator.try_check(key, &Request::new(), now).is_ok());
///
/// // A revocation is in force when the call returns.
/// authenticator.revoke(&issued.record.id, "leaked in a log", now).await?;
/// let answer = authenticator.check(key, &Request::new(), now).await;
/// assert_eq!(answer.decision.denial().unwrap().code(), DenialCode::KeyRevoked);
///
/// authenticator.stop().await?;
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
pub struct Authenticator<S> {
    own: Arc<Own<S>>,
}

/// A decision, and whose key it was made on.
#[derive(Clone, Debug)]
#[must_use = "a decision that nobody looks at guards nothing"]
#[non_exhaustive]
pub struct Answer {
    /// The decision.
    pub decision: Decision,
    /// The key's record, where the request is allowed. Its last use, and the uses that
    /// are left, are as they were when it was read.
    pub record: Option<Arc<KeyRecord>>,
    /// What the store said, where it could not be asked; for the log.
    pub failure: Option<Arc<StoreError>>,
}

/// A check that memory could not answer. It remembers what was counted for it already.
#[derive(Debug)]
#[must_use = "it is not decided yet"]
pub struct Pending(Option<Allowed>);

/// What an authenticator has done, and what is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthenticatorStats {
    /// What the keyring has done, and what it holds.
    pub keyring: Stats,
    /// Last uses that wait to be noted.
    pub uses_waiting: usize,
    /// Last uses that were dropped because too many waited; those of later requests take
    /// their place.
    pub uses_dropped: u64,
    /// For how long the changes of other processes could not be read; zero where all is
    /// well.
    pub stale_for: Duration,
}

/// What ends with the last handle.
struct Own<S> {
    parts: Arc<Parts<S>>,
    _ends_tasks: DropGuard,
}

/// What handles and tasks share.
struct Parts<S> {
    store: Arc<S>,
    verifier: Verifier,
    keyring: Keyring,
    directory: Directory,
    flights: Flights<S>,
    uses: Uses,
    marks: Marks,
    position: Position,
    store_timeout: Duration,
    stopped: AtomicBool,
    handle: Handle,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl<S: Store + 'static> Authenticator<S> {
    /// An authenticator for the keys in `store` that `verifier` accepts.
    pub fn builder(store: Arc<S>, verifier: Verifier) -> AuthenticatorBuilder<S> {
        AuthenticatorBuilder::new(store, verifier)
    }

    /// Decides about a presented key, and fetches its record where it is not cached.
    ///
    /// `now` is one reading of the clock for the whole check. The answer never fails: a
    /// store that cannot be asked makes it a denial.
    pub async fn check(&self, credential: &[u8], request: &Request<'_>, now: UnixMillis) -> Answer {
        match self.try_check(credential, request, now) {
            Ok(answer) => answer,
            Err(pending) => self.check_pending(pending, credential, request, now).await,
        }
    }

    /// Decides about a presented key as far as that takes no look at the store, and neither
    /// waits nor makes a future: what a service does on nearly every request.
    ///
    /// # Errors
    /// What [`check_pending`](Self::check_pending) goes on with, where only the store knows.
    #[expect(
        clippy::result_large_err,
        reason = "a decision makes no heap allocation"
    )]
    // Into the caller: an answer is large, and would be copied on its way there.
    #[inline(always)]
    pub fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending> {
        let parts = &self.own.parts;
        if parts.stopped.load(Ordering::Acquire) {
            return Ok(Answer::unavailable(None));
        }
        // The decision goes into the answer as it came: to take it apart is to copy it.
        let decision = match parts.keyring.check(credential, request, now) {
            Check::Decided(decision) => decision,
            Check::NeedsRecord(_) => return Err(Pending(None)),
        };
        let mut answer = Answer {
            decision,
            record: None,
            failure: None,
        };
        if let Decision::Allow(allowed) = &answer.decision {
            let Some(record) = parts.directory.find(&allowed.key_id, allowed.version) else {
                return Err(Pending(Some(*allowed)));
            };
            parts.care_for(allowed, &record, credential, now);
            answer.record = Some(record);
        }
        Ok(answer)
    }

    /// Goes on where [`look`](Self::look) stopped, for the same credential and request.
    pub async fn check_pending(
        &self,
        pending: Pending,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Answer {
        let parts = &self.own.parts;
        match parts.decide(pending, credential, request, now).await {
            Ok(answer) => answer,
            Err(failure) => Answer::unavailable(Some(failure)),
        }
    }

    /// The keyring, for what a service wants of it directly, as
    /// [`Keyring::invalidate_owner`].
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.own.parts.keyring
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.own.parts.store
    }

    /// Which keys are accepted.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.own.parts.verifier
    }

    /// What was done, and what is waiting.
    #[must_use]
    pub fn stats(&self) -> AuthenticatorStats {
        let parts = &*self.own.parts;
        AuthenticatorStats {
            keyring: parts.keyring.stats(),
            uses_waiting: parts.uses.waiting(),
            uses_dropped: parts.uses.dropped(),
            stale_for: parts.position.stale_for(),
        }
    }

    /// Ends the tasks, and notes the last uses. Call it once requests are no longer served:
    /// from now on each check is refused, since nobody hears of changes any more.
    ///
    /// It may be called again, and then notes what could not be noted before.
    ///
    /// # Errors
    /// The store's, where the last uses could not be noted.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let parts = &self.own.parts;
        parts.stopped.store(true, Ordering::Release);
        parts.ended.cancel();
        parts.tasks.close();
        parts.tasks.wait().await;
        parts.flush_uses().await
    }
}

impl Answer {
    fn denied(denial: Denial) -> Self {
        Self {
            decision: Decision::Deny(denial),
            record: None,
            failure: None,
        }
    }

    fn unavailable(failure: Option<Arc<StoreError>>) -> Self {
        Self {
            failure,
            ..Self::denied(Denial::new(Cause::StoreUnavailable))
        }
    }
}

impl<S> Clone for Authenticator<S> {
    fn clone(&self) -> Self {
        Self {
            own: Arc::clone(&self.own),
        }
    }
}

impl<S> fmt::Debug for Authenticator<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("keyring", &self.own.parts.keyring)
            .finish_non_exhaustive()
    }
}
