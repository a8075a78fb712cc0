//! How an authenticator is set up.

use core::time::Duration;
use std::sync::Arc;

use keystile::{Keyring, KeyringBuilder, Millis, StatusPolicy, Verifier};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::aftercare::Marks;
use super::changes::Position;
use super::directory::Directory;
use super::flights::Flights;
use super::uses::Uses;
use super::{Authenticator, Own, Parts};
use crate::error::StoreError;
use crate::store::Store;

/// Shortest of the times that can be set: a task that never sleeps is of no use.
const TIME_MIN: Duration = Duration::from_millis(1);
/// Time before a task that panicked is run anew.
const PANIC_PAUSE: Duration = Duration::from_secs(1);
/// Most fetches at once.
const FETCHES_MAX: usize = 65_536;

/// How an [`Authenticator`] is set up: a keyring as [`KeyringBuilder`] has it; 64 fetches
/// at once, of 5 s at most; changes are read each second, last uses noted every 5 s.
#[must_use = "it does nothing until it is built"]
#[derive(Debug)]
pub struct AuthenticatorBuilder<S> {
    store: Arc<S>,
    verifier: Verifier,
    keyring: KeyringBuilder,
    capacity: usize,
    store_timeout: Duration,
    fetches: usize,
    hear_every: Duration,
    note_every: Duration,
    wake: Option<Arc<Notify>>,
}

impl<S: Store + 'static> AuthenticatorBuilder<S> {
    pub(super) fn new(store: Arc<S>, verifier: Verifier) -> Self {
        let capacity = 100_000;
        Self {
            store,
            keyring: Keyring::builder(verifier.clone()).capacity(capacity),
            verifier,
            capacity,
            store_timeout: Duration::from_secs(5),
            fetches: 64,
            hear_every: Duration::from_secs(1),
            note_every: Duration::from_secs(5),
            wake: None,
        }
    }

    /// Records that are cached at most; see [`KeyringBuilder::capacity`].
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self.keyring = self.keyring.capacity(capacity);
        self
    }

    /// How long a record is used without asking again; see [`KeyringBuilder::ttl`].
    pub fn ttl(mut self, ttl: Millis) -> Self {
        self.keyring = self.keyring.ttl(ttl);
        self
    }

    /// How long a key that the store did not know is refused without asking again; see
    /// [`KeyringBuilder::absent_ttl`].
    pub fn absent_ttl(mut self, absent_ttl: Millis) -> Self {
        self.keyring = self.keyring.absent_ttl(absent_ttl);
        self
    }

    /// The status that denials are answered with; see
    /// [`Keyring::respond`](keystile::Keyring::respond).
    pub fn status_policy(mut self, policy: StatusPolicy) -> Self {
        self.keyring = self.keyring.status_policy(policy);
        self
    }

    /// How long a request waits for the store before it is refused as
    /// [`StoreUnavailable`](keystile::Cause::StoreUnavailable).
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit.max(TIME_MIN);
        self
    }

    /// How many fetches run at once, at least 1; who comes on top waits for a place, within
    /// [`store_timeout`](Self::store_timeout).
    pub fn fetches_at_once(mut self, fetches: usize) -> Self {
        self.fetches = fetches.clamp(1, FETCHES_MAX);
        self
    }

    /// How often the changes that other processes made are read.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.hear_every = interval.max(TIME_MIN);
        self
    }

    /// How often last uses are noted.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.note_every = interval.max(TIME_MIN);
        self
    }

    /// Reads the changes whenever this is notified, too: for a store that can say at once
    /// that there are some. Use [`Notify::notify_one`], which is not lost on a reader that
    /// is at work.
    pub fn change_signal(mut self, wake: Arc<Notify>) -> Self {
        self.wake = Some(wake);
        self
    }

    /// The authenticator, whose tasks run in the tokio runtime that this is called in. The
    /// runtime needs its timer.
    ///
    /// # Errors
    /// [`StoreError::Refused`] as [`KeyringBuilder::build`], and
    /// [`StoreError::Unavailable`] outside of a runtime.
    pub fn build(self) -> Result<Authenticator<S>, StoreError> {
        let handle = Handle::try_current().map_err(StoreError::unavailable)?;
        let (ended, tasks) = (CancellationToken::new(), TaskTracker::new());
        let parts = Arc::new(Parts {
            keyring: self.keyring.build()?,
            directory: Directory::new(self.capacity),
            flights: Flights::new(
                Arc::clone(&self.store),
                self.store_timeout,
                self.fetches,
                handle.clone(),
                ended.clone(),
                tasks.clone(),
            ),
            // Those of cached keys, and of as many that were evicted.
            uses: Uses::new(self.capacity.saturating_mul(2)),
            marks: Marks::default(),
            position: Position::default(),
            store: self.store,
            verifier: self.verifier,
            store_timeout: self.store_timeout,
            stopped: false.into(),
            ended: ended.clone(),
            tasks: tasks.clone(),
            handle: handle.clone(),
        });
        let (hearing, wake) = (Arc::clone(&parts), self.wake);
        let hears = move || Arc::clone(&hearing).hear_changes(self.hear_every, wake.clone());
        tasks.spawn_on(kept_up(hears), &handle);
        let noting = Arc::clone(&parts);
        let notes = move || Arc::clone(&noting).note_uses(self.note_every);
        tasks.spawn_on(kept_up(notes), &handle);
        Ok(Authenticator {
            own: Arc::new(Own {
                parts,
                _ends_tasks: ended.drop_guard(),
            }),
        })
    }
}

/// Runs a task until it returns, and anew where the store made it panic: a process that
/// hears of nothing any more would not be noticed.
async fn kept_up<F>(task: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(end) = tokio::spawn(task()).await
        && end.is_panic()
    {
        tokio::time::sleep(PANIC_PAUSE).await;
    }
}
