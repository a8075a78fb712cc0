//! How an authenticator is set up.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use keystile::{
    By, Error, Keyring, KeyringBuilder, Leases, LifetimePolicy, Millis, RateLimitFields,
    StatusPolicy, UnixMillis, Verifier,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::claims::Claims;
use super::clock::{self, Clock};
use super::damage_log::DamageLog;
use super::flush::PendingUses;
use super::lease::{AfterBound, Lease};
use super::maintenance::InFlight;
use super::noted::Noted;
use super::singleflight::Group;
use super::tokens::Tokens;
use super::watch::Position;
use super::{Authenticator, Inner, Shared};
use crate::error::StoreError;
use crate::limits::Limits;
use crate::store::Store;
use crate::wake::{Wake, Wakes};

/// The shortest time that can be set: a task must sleep.
const TIME_MIN: Duration = Duration::from_millis(1);
/// Time before a task that panicked is run again.
const PANIC_PAUSE: Duration = Duration::from_secs(1);
/// How often changes are read, unless the revocation bound is short.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The limits of the revocation bound; a record is cached for at most a day.
const BOUND_MIN: Duration = Duration::from_secs(1);
const BOUND_MAX: Duration = Duration::from_secs(86_400);
/// Claims on counted uses at once, each of another lineage.
const CLAIMS: usize = 16;
/// The limit on fetches at once.
const FETCHES_MAX: usize = 65_536;

/// How an [`Authenticator`] is set up: a keyring as [`KeyringBuilder`] has it; 64 fetches
/// at once, of 5 s at most; changes are read each second, last uses are recorded every 5 s,
/// and what is spent of rate limits each second.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use core::time::Duration;
/// use std::sync::Arc;
/// use keystile::{KeyFormat, Millis, Verifier};
/// use keystile_store::{Authenticator, MemoryStore, StoreError};
///
/// let verifier = Verifier::new(KeyFormat::structured("acme")?);
/// let builder = || Authenticator::builder(Arc::new(MemoryStore::new()), verifier.clone());
/// let keys = builder()
///     .capacity(1_000_000)
///     .ttl(Millis::from_secs(60))
///     .store_timeout(Duration::from_secs(2))
///     .build()?;
///
/// let without_ttl = builder().ttl(Millis::ZERO).build();
/// assert!(matches!(without_ttl, Err(StoreError::Refused(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "it does nothing until it is built"]
pub struct AuthenticatorBuilder<S> {
    store: Arc<S>,
    verifier: Verifier,
    lifetimes: LifetimePolicy,
    keyring: KeyringBuilder,
    capacity: usize,
    store_timeout: Duration,
    fetches: usize,
    poll_interval: Option<Duration>,
    revocation_bound: Duration,
    after_bound: AfterBound,
    lease_clock: Clock,
    flush_interval: Duration,
    limits: Option<Arc<dyn Limits>>,
    leases: Leases,
    limits_timeout: Duration,
    change_signal: Option<Arc<Notify>>,
    wakes: Wakes,
    clock: fn() -> Result<UnixMillis, Error>,
    process: By,
}

impl<S: Store + 'static> AuthenticatorBuilder<S> {
    pub(super) fn new(store: Arc<S>, verifier: Verifier) -> Self {
        let capacity = 100_000;
        Self {
            store,
            keyring: Keyring::builder(verifier.clone())
                .capacity(capacity)
                .monotonic_clock(clock::since_boot),
            verifier,
            lifetimes: LifetimePolicy::default(),
            capacity,
            store_timeout: Duration::from_secs(5),
            fetches: 64,
            poll_interval: None,
            revocation_bound: Duration::from_secs(60),
            after_bound: AfterBound::default(),
            lease_clock: Clock::default(),
            flush_interval: Duration::from_secs(5),
            limits: None,
            leases: Leases::default(),
            limits_timeout: Duration::from_secs(1),
            change_signal: None,
            wakes: Wakes::default(),
            clock: UnixMillis::now,
            process: By::keystile(),
        }
    }

    /// How long the keys that this authenticator issues, changes and rotates may live: 90 days
    /// if a request has no lifetime, and no longest.
    pub const fn lifetimes(mut self, lifetimes: LifetimePolicy) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// How many records are cached at most; see [`KeyringBuilder::capacity`].
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self.keyring = self.keyring.capacity(capacity);
        self
    }

    /// How long a record is used before it is read again; see [`KeyringBuilder::ttl`].
    pub fn ttl(mut self, ttl: Millis) -> Self {
        self.keyring = self.keyring.ttl(ttl);
        self
    }

    /// How long a key that the store did not know is denied without another lookup; see
    /// [`KeyringBuilder::absent_ttl`].
    pub fn absent_ttl(mut self, absent_ttl: Millis) -> Self {
        self.keyring = self.keyring.absent_ttl(absent_ttl);
        self
    }

    /// The statuses of responses that [`Keyring::respond`](keystile::Keyring::respond) makes.
    /// The layer of `keystile-tower` makes its own, with the policy of its own builder.
    pub fn status_policy(mut self, policy: StatusPolicy) -> Self {
        self.keyring = self.keyring.status_policy(policy);
        self
    }

    /// As [`KeyringBuilder::rate_limit_fields`](keystile::KeyringBuilder::rate_limit_fields).
    pub fn rate_limit_fields(mut self, fields: RateLimitFields) -> Self {
        self.keyring = self.keyring.rate_limit_fields(fields);
        self
    }

    /// How long a request waits for the store before it is denied as
    /// [`StoreUnavailable`](keystile::Cause::StoreUnavailable). If the uses of its key are
    /// counted, it waits as long for its turn, and then as long again for its claim.
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit.max(TIME_MIN);
        self
    }

    /// How many fetches run at once, at least 1; further ones wait, within
    /// [`store_timeout`](Self::store_timeout). Claims on counted uses have places of their own.
    pub fn fetches_at_once(mut self, fetches: usize) -> Self {
        self.fetches = fetches.clamp(1, FETCHES_MAX);
        self
    }

    /// How often the changes that other processes made are read. The default is each second,
    /// or four times within the [`revocation_bound`](Self::revocation_bound) if that is more
    /// often.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = Some(interval.max(TIME_MIN));
        self
    }

    /// How long cached records are used if the changes of other processes cannot be read: 1 s
    /// to a day, and at least twice the [`poll_interval`](Self::poll_interval), so that the
    /// read has as long again for its way to the store and back. The default is 60 s.
    ///
    /// No request that is sent later than this after a revocation was committed is allowed
    /// by its key, even if this process is cut off from the store, or was suspended. This
    /// holds if the records and the changes are read from the server that commits, if that
    /// server loses no commit, and if [`after_bound`](Self::after_bound) is not set.
    pub fn revocation_bound(mut self, bound: Duration) -> Self {
        self.revocation_bound = bound;
        self
    }

    /// What is done after the [`revocation_bound`](Self::revocation_bound) as long as the
    /// changes cannot be read; by default [`AfterBound::Revalidate`].
    pub fn after_bound(mut self, policy: AfterBound) -> Self {
        self.after_bound = policy;
        self
    }

    /// The clock that the revocation bound is measured by, for tests.
    #[doc(hidden)]
    pub fn lease_clock(mut self, read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.lease_clock = Clock::Scripted(Arc::new(read));
        self
    }

    /// How often last uses are recorded. What is spent of rate limits is recorded as often, or
    /// each second if this is longer.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval.max(TIME_MIN);
        self
    }

    /// Where rate limits are counted for all processes of the service. Without this, each
    /// process counts for itself.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, RateLimit, Request, SysRng, UnixMillis, Verifier};
    /// use std::sync::Arc;
    /// use keystile::DenialCode;
    /// use keystile_store::{Authenticator, MemoryStore, StoredLimits};
    ///
    /// # let format = KeyFormat::structured("acme")?;
    /// # let issuer = Issuer::new(format.clone());
    /// # let daily = RateLimit::new(1, Millis::from_days(1))?;
    /// # let issued = issuer.issue(&IssueRequest::new("Acme")?.rate_limit(daily), &mut SysRng, UnixMillis::now()?)?;
    /// let store = Arc::new(MemoryStore::new());
    /// // Two processes of a service, each with this:
    /// let process = || {
    ///     Authenticator::builder(Arc::clone(&store), Verifier::new(format.clone()))
    ///         .limits(Arc::new(StoredLimits::new(Arc::clone(&store))))
    ///         .build()
    /// };
    /// let (one, other) = (process()?, process()?);
    /// one.save_issued(&issued).await?;
    /// let key = issued.key.expose().as_bytes();
    /// let now = UnixMillis::now()?;
    /// assert!(one.check(key, &Request::new(), now).await.decision.is_allow());
    /// let answer = other.check(key, &Request::new(), now).await;
    /// assert_eq!(answer.decision.denial().unwrap().code(), DenialCode::RateLimited);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn limits(mut self, limits: Arc<dyn Limits>) -> Self {
        self.limits = Some(limits);
        self
    }

    /// How requests are taken of the [`limits`](Self::limits): for how long a process may use
    /// what it took, and what it does if they are unavailable. The default is leases of 1 s, for
    /// 4 processes, and that requests of keys with a rate limit are refused meanwhile.
    pub fn leases(mut self, leases: Leases) -> Self {
        self.leases = leases;
        self
    }

    /// How long a request waits for the [`limits`](Self::limits), 1 s by default. While they do
    /// not answer, one request at a time waits for them and the others do not.
    pub fn limits_timeout(mut self, limit: Duration) -> Self {
        self.limits_timeout = limit.max(TIME_MIN);
        self
    }

    /// The clock that `now` is read from in checks, for what is recorded between them; without
    /// this, [`UnixMillis::now`]. If a test passes invented times, it needs a clock that shows
    /// these: otherwise it appears that each limit was free again long ago.
    pub fn clock(mut self, clock: fn() -> Result<UnixMillis, Error>) -> Self {
        self.clock = clock;
        self
    }

    /// Who this process is in the events of what the use of a key brings about: a renewed
    /// digest, and the end of an overlap. The default is `keystile`. The verbs are by whom
    /// [`Authenticator::acting_as`] names.
    pub fn process(mut self, by: By) -> Self {
        self.process = by;
        self
    }

    /// Reads the changes when this is notified, too: for a store that reports at once that
    /// there are some. Use [`Notify::notify_one`], which is not lost if the reader is busy. Between
    /// two reads are 20 ms or more, however often it is called.
    ///
    /// For a `PostgresStore`, this is what its `subscribe` returns:
    /// `.change_signal(store.subscribe())`. `Authenticator::open_postgres` sets it.
    pub fn change_signal(mut self, signal: Arc<Notify>) -> Self {
        self.change_signal = Some(signal);
        self
    }

    /// Notifies other processes after each change that this authenticator makes; they pass what
    /// notifies them to [`change_signal`](Self::change_signal).
    pub fn wakes(mut self, others: Arc<dyn Wake>) -> Self {
        self.wakes = Wakes(Some(others));
        self
    }

    /// The authenticator, whose tasks run in the tokio runtime that this is called in. The
    /// runtime needs its timer.
    ///
    /// # Errors
    /// [`StoreError::Refused`] as [`KeyringBuilder::build`], [`StoreError::Setting`] if the
    /// revocation bound or what follows it is out of its range, and
    /// [`StoreError::Unavailable`] outside of a runtime.
    pub fn build(self) -> Result<Authenticator<S>, StoreError> {
        let poll_interval = self.checked_poll_interval()?;
        let handle = Handle::try_current().map_err(StoreError::unavailable)?;
        let (ended, tasks) = (CancellationToken::new(), TaskTracker::new());
        let keyring = match &self.limits {
            Some(_) => self.keyring.shared_limits(self.leases),
            None => self.keyring,
        };
        let wait = self.limits_timeout;
        let shared = Arc::new(Shared {
            keyring: keyring.build_with_values()?,
            tokens: self
                .limits
                .map(|limits| Tokens::new(limits, self.leases, wait)),
            fetches: Group::new(
                Arc::clone(&self.store),
                self.store_timeout,
                self.fetches,
                handle.clone(),
                ended.clone(),
                tasks.clone(),
            ),
            claims: Claims::new(self.store_timeout, CLAIMS),
            // Room for the cached keys, and for as many that were evicted.
            uses: PendingUses::new(self.capacity.saturating_mul(2)),
            noted: Noted::new(self.capacity.saturating_mul(2)),
            in_flight: InFlight::default(),
            damage_log: DamageLog::default(),
            position: Position::default(),
            lease: Lease::new(self.lease_clock, self.revocation_bound, self.after_bound),
            read_changes: Notify::new(),
            store: self.store,
            verifier: self.verifier,
            lifetimes: self.lifetimes,
            store_timeout: self.store_timeout,
            process: self.process,
            clock: self.clock,
            wakes: self.wakes,
            stopped: false.into(),
            ended: ended.clone(),
            tasks: tasks.clone(),
            handle: handle.clone(),
        });
        let (watching, signal) = (Arc::clone(&shared), self.change_signal);
        let watch = move || Arc::clone(&watching).watch_changes(poll_interval, signal.clone());
        tasks.spawn_on(supervise(watch), &handle);
        let flushing = Arc::clone(&shared);
        let flush = move || Arc::clone(&flushing).flush_every(self.flush_interval);
        tasks.spawn_on(supervise(flush), &handle);
        if shared.tokens.is_some() {
            let returning = Arc::clone(&shared);
            let give_back = move || Arc::clone(&returning).give_back_tokens();
            tasks.spawn_on(supervise(give_back), &handle);
        }
        Ok(Authenticator {
            inner: Arc::new(Inner {
                shared,
                _ends_tasks: ended.drop_guard(),
            }),
            by: Arc::default(),
            once: None,
            template: None,
        })
    }
}

impl<S> AuthenticatorBuilder<S> {
    /// How often changes are read, if that suits the revocation bound.
    fn checked_poll_interval(&self) -> Result<Duration, StoreError> {
        let bound = self.revocation_bound;
        let expected = if !(BOUND_MIN..=BOUND_MAX).contains(&bound) {
            "the revocation bound must be 1 s to a day"
        } else if (self.poll_interval).is_some_and(|interval| interval.saturating_mul(2) > bound) {
            "the revocation bound must be at least twice the poll interval"
        } else if let AfterBound::ServeStale(limit) = self.after_bound
            && !(limit > bound && limit <= BOUND_MAX)
        {
            "stale records must be served for longer than the revocation bound, and at most a day"
        } else {
            let quarter = bound.checked_div(4).unwrap_or(bound);
            return Ok(self.poll_interval.unwrap_or(POLL_INTERVAL.min(quarter)));
        };
        Err(StoreError::Setting(expected))
    }
}

impl<S: fmt::Debug> fmt::Debug for AuthenticatorBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatorBuilder")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Runs a task until it returns, and again if the store made it panic: otherwise no one would
/// notice that this process no longer reads changes.
async fn supervise<F>(task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(end) = tokio::spawn(task()).await
        && end.is_panic()
    {
        tokio::time::sleep(PANIC_PAUSE).await;
    }
}
