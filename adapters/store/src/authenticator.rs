//! A keyring over a store, for services on tokio.

mod answer;
mod builder;
mod check;
mod claims;
mod clock;
mod damage_log;
mod ending;
mod explain;
mod flush;
mod lease;
mod maintenance;
mod noted;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod open;
mod singleflight;
mod stats;
mod tokens;
mod verbs;
mod watch;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile::{
    By, Check, Decision, Error, KeyRecord, Keyring, LifetimePolicy, Request, UnixMillis, Verifier,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::claims::Claims;
use self::damage_log::DamageLog;
use self::flush::{Flush, PendingUses};
use self::lease::Lease;
use self::maintenance::InFlight;
use self::noted::Noted;
use self::singleflight::Group;
use self::tokens::Tokens;
use self::watch::Position;
use crate::error::StoreError;
use crate::issue_once::IssueOnce;
use crate::store::Store;
use crate::template::StoredTemplate;
use crate::wake::Wakes;

pub use self::answer::{Answer, Pending};
pub use self::builder::AuthenticatorBuilder;
pub use self::lease::AfterBound;
pub use self::stats::AuthenticatorStats;

/// A [`Keyring`] over a store: it fetches what is not cached, picks up changes that other
/// processes make, and batches last uses.
///
/// - Requests that wait for the same key share one fetch.
/// - While the store is down, cached records are used until the
///   [revocation bound](AuthenticatorBuilder::revocation_bound), 60 s by default; all other
///   requests are denied as [`Cause::StoreUnavailable`](keystile::Cause::StoreUnavailable).
/// - If the row of a key is damaged, its requests are denied as
///   [`Cause::RecordDamaged`](keystile::Cause::RecordDamaged).
/// - The verbs here, such as [`revoke`](Self::revoke), are in force in this process when they
///   return. A change that another process writes is in force within about a second, by
///   the store's events. No request that is sent later than the revocation bound after it
///   is decided without it, even if this process is cut off from the store or the machine
///   slept. In SQLite and PostgreSQL this holds for any program: its changes leave events
///   too.
/// - The bound is judged by [`check`](Self::check) and [`try_check`](Self::try_check), and
///   not by what [`keyring`](Self::keyring) returns.
/// - A record that is older than a change that this process has made, or has read of, is not
///   used: not even if a replica that lags still has it.
/// - If the uses of a key are counted, the store decides about each request, so that the
///   count is exact over any number of processes. If the key has only a rate limit, each
///   process counts for itself, and with n processes a key passes at most n times its limit,
///   unless the [limits](AuthenticatorBuilder::limits) are counted in one place.
/// - Rate limits survive a restart. What is spent is recorded each second, except for limits
///   that are free again within two seconds, and is read with the record. [`stop`](Self::stop)
///   records the rest, and then nothing is given back; after a crash, at most what was spent
///   since the last time it was recorded.
/// - Last uses are recorded every few seconds. [`stop`](Self::stop) records the last of them.
///
/// It is a handle: a clone shares the same keyring. Its tasks end when the last one is
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
    inner: Arc<Inner<S>>,
    /// Who the verbs of this handle write as.
    by: Arc<By>,
    once: Option<Arc<(IssueOnce, UnixMillis)>>,
    template: Option<Arc<StoredTemplate>>,
}

/// What ends with the last handle.
struct Inner<S> {
    shared: Arc<Shared<S>>,
    _ends_tasks: DropGuard,
}

/// What handles and tasks share.
struct Shared<S> {
    store: Arc<S>,
    verifier: Verifier,
    lifetimes: LifetimePolicy,
    keyring: Keyring<Arc<KeyRecord>>,
    /// Where rate limits are counted, unless it is here.
    tokens: Option<Tokens>,
    /// Who writes what a use of a key brings about.
    process: By,
    fetches: Group<S>,
    claims: Claims,
    uses: PendingUses,
    noted: Noted,
    in_flight: InFlight,
    damage_log: DamageLog,
    position: Position,
    lease: Lease,
    /// Asks for a read of changes before it is due.
    read_changes: Notify,
    store_timeout: Duration,
    clock: fn() -> Result<UnixMillis, Error>,
    stopped: AtomicBool,
    /// Notifies other processes.
    wakes: Wakes,
    handle: Handle,
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl<S: Store + 'static> Authenticator<S> {
    /// An authenticator for the keys in `store` that `verifier` accepts.
    ///
    /// The store must have its tables. `open_sqlite` and `open_postgres` create them, and
    /// build an authenticator with the defaults.
    pub fn builder(store: Arc<S>, verifier: Verifier) -> AuthenticatorBuilder<S> {
        AuthenticatorBuilder::new(store, verifier)
    }

    /// Decides about a presented key: from memory, or with the store if the record is not
    /// cached.
    ///
    /// `now` is one reading of the clock for the whole check. It never fails: if the store
    /// is unavailable, the answer is a denial.
    pub async fn check(&self, credential: &[u8], request: &Request<'_>, now: UnixMillis) -> Answer {
        let shared = &self.inner.shared;
        if shared.stopped.load(Ordering::Acquire) {
            return Answer::unavailable(None);
        }
        match shared.check(credential, request, now).await {
            Ok(answer) => answer,
            Err(failure) => shared.failed(failure),
        }
    }

    /// As [`check`](Self::check), from memory only: it neither waits nor makes a future.
    /// This is what a service does on nearly every request.
    ///
    /// # Errors
    /// [`Pending`] if only the store can decide: go on with [`check`](Self::check). Nothing
    /// was counted against a limit yet.
    // store-forwarding stall: an answer is large, so inline it (see ARCHITECTURE.md)
    #[inline(always)]
    pub fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending> {
        let shared = &self.inner.shared;
        if shared.stopped.load(Ordering::Acquire) {
            return Ok(Answer::unavailable(None));
        }
        // Before the cache is read.
        if !shared.lease.holds() {
            return Err(Pending(()));
        }
        match shared.keyring.check(credential, request, now) {
            Check::Decided(decision, record) => {
                Ok(shared.answer(decision, record, credential, now))
            }
            Check::NeedsRecord(_) | Check::NeedsTokens(_) => Err(Pending(())),
        }
    }

    /// The keyring, for its other methods, such as [`Keyring::invalidate_owner`].
    #[must_use]
    pub fn keyring(&self) -> &Keyring<Arc<KeyRecord>> {
        &self.inner.shared.keyring
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.inner.shared.store
    }

    /// The formats and peppers of the keys that are accepted.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.inner.shared.verifier
    }

    /// What was done, and what is waiting.
    #[must_use]
    pub fn stats(&self) -> AuthenticatorStats {
        let shared = &*self.inner.shared;
        let lease = shared.lease.stats();
        AuthenticatorStats {
            keyring: shared.keyring.stats(),
            fetches: shared.fetches.begun(),
            uses_waiting: shared.uses.waiting(),
            uses_dropped: shared.uses.dropped(),
            limits_asked: shared.tokens.as_ref().map_or(0, Tokens::asked),
            limits_failed: shared.tokens.as_ref().map_or(0, Tokens::failed),
            stale_for: shared.position.stale_for(),
            revocation_bound: lease.bound,
            lease_age: lease.age,
            bound_exceeded: lease.is_exceeded,
            revalidated: lease.revalidated,
            refused_beyond_bound: lease.refused,
            served_stale: lease.served_stale,
        }
    }

    /// Ends the tasks, and records the last uses and what was spent of rate limits. Call it after the last request was served:
    /// from now on each check is denied, because changes are no longer read.
    ///
    /// It may be called again, and then records what could not be recorded before.
    ///
    /// # Errors
    /// The store's, if these could not be recorded.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        shared.stopped.store(true, Ordering::Release);
        shared.ended.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
        shared.give_back_all_tokens().await;
        shared.flush(Flush::Rest).await
    }
}

impl<S: Store + 'static> Shared<S> {
    /// The answer for a decision; schedules the work that the use calls for.
    #[inline(always)]
    fn answer(
        self: &Arc<Self>,
        decision: Decision,
        record: Option<Arc<KeyRecord>>,
        credential: &[u8],
        now: UnixMillis,
    ) -> Answer {
        if let (Decision::Allow(allowed), Some(record)) = (&decision, &record) {
            self.schedule_if_due(allowed, record, credential, now);
        }
        Answer {
            decision,
            record,
            failure: None,
        }
    }
}

impl<S> Clone for Authenticator<S> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            by: Arc::clone(&self.by),
            once: self.once.clone(),
            template: self.template.clone(),
        }
    }
}

impl<S> fmt::Debug for Authenticator<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("keyring", &self.inner.shared.keyring)
            .finish_non_exhaustive()
    }
}
