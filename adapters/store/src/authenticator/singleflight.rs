//! Fetches of records: checks that wait for the same key share one (single flight).

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile::{KeyId, KeyRecord, Lookup};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{StoreError, UnavailableKind};
use crate::store::Store;
use crate::stored_usage::StoredUsage;

/// The result of a fetch, and the count of invalidations from before it began.
#[derive(Clone, Debug)]
pub(super) struct FetchResult {
    pub(super) as_of: u64,
    pub(super) record: Option<Arc<KeyRecord>>,
    /// What the record's lineage has spent.
    pub(super) usage: StoredUsage,
    /// When the store was asked.
    pub(super) begun: Instant,
}

/// What a caller needs of a fetch.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// The count of invalidations from before the caller asked.
    pub(super) as_of: u64,
    /// Leaves out fetches that began before that.
    pub(super) fresh_only: bool,
    /// A reading of the lease's clock from before this call.
    pub(super) now: u64,
    /// The earliest reading that a fetch which is joined may have begun at.
    pub(super) earliest: u64,
}

type FetchOutcome = Result<FetchResult, Arc<StoreError>>;

/// The fetches that are under way.
///
/// Each is a task: the request that began it may be dropped, and the others still get their
/// result. The number of fetches at once is limited; further ones wait for a permit.
pub(super) struct Group<S> {
    store: Arc<S>,
    limit: Duration,
    permits: Arc<Semaphore>,
    handle: Handle,
    ended: CancellationToken,
    tasks: TaskTracker,
    calls: Arc<Calls>,
    begun: AtomicU64,
}

/// What is looked up. An opaque key is named by the first of its digests.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Id(KeyId),
    Text([u8; 32]),
}

#[derive(Default)]
struct Calls(Mutex<HashMap<Key, Call>>);

#[derive(Clone)]
struct Call {
    as_of: u64,
    /// A reading of the lease's clock from before it began.
    begun: u64,
    result: watch::Receiver<Option<FetchOutcome>>,
}

/// Removes a call however it ends.
struct CompletionGuard {
    calls: Arc<Calls>,
    key: Key,
    result: watch::Sender<Option<FetchOutcome>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the store did not answer in time")]
struct Late;

#[derive(Debug, thiserror::Error)]
#[error("the fetch was given up")]
struct GivenUp;

impl<S: Store + 'static> Group<S> {
    pub(super) fn new(
        store: Arc<S>,
        limit: Duration,
        most: usize,
        handle: Handle,
        ended: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            store,
            limit,
            permits: Arc::new(Semaphore::new(most)),
            handle,
            ended,
            tasks,
            calls: Arc::default(),
            begun: AtomicU64::new(0),
        }
    }

    /// Fetches begun so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// What the store has, by a fetch that is under way or by a new one. The caller limits how
    /// long it waits.
    pub(super) async fn fetch(&self, lookup: &Lookup, wanted: Wanted) -> FetchOutcome {
        let mut result = self.join_or_begin(lookup, wanted).await?;
        match result.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or_else(|| Err(given_up())),
            Err(_) => Err(given_up()),
        }
    }

    async fn join_or_begin(
        &self,
        lookup: &Lookup,
        wanted: Wanted,
    ) -> Result<watch::Receiver<Option<FetchOutcome>>, Arc<StoreError>> {
        let key = Key::of(lookup).ok_or_else(given_up)?;
        let joined = |calls: &HashMap<_, Call>| {
            let call = calls.get(&key)?;
            let is_fresh = !wanted.fresh_only || call.as_of >= wanted.as_of;
            (is_fresh && call.begun >= wanted.earliest).then(|| call.result.clone())
        };
        if let Some(result) = joined(&self.calls.lock()) {
            return Ok(result);
        }
        let permit = self.permit().await?;
        let mut calls = self.calls.lock();
        if let Some(result) = joined(&calls) {
            return Ok(result);
        }
        let (sender, result) = watch::channel(None);
        let as_of = wanted.as_of;
        let call = Call {
            as_of,
            begun: wanted.now,
            result: result.clone(),
        };
        calls.insert(key, call);
        drop(calls);
        self.begun.fetch_add(1, Ordering::Relaxed);
        let guard = CompletionGuard {
            calls: Arc::clone(&self.calls),
            key,
            result: sender,
        };
        let call = run_call(
            Arc::clone(&self.store),
            *lookup,
            as_of,
            guard,
            permit,
            self.ended.clone(),
            self.limit,
        );
        self.tasks.spawn_on(call, &self.handle);
        Ok(result)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Arc<StoreError>> {
        Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| given_up())
    }
}

async fn run_call<S: Store>(
    store: Arc<S>,
    lookup: Lookup,
    as_of: u64,
    guard: CompletionGuard,
    _permit: OwnedSemaphorePermit,
    ended: CancellationToken,
    limit: Duration,
) {
    let begun = Instant::now();
    let found = tokio::select! {
        found = timeout(limit, store.find_with_usage(&lookup)) => found,
        () = ended.cancelled() => return,
    };
    let result = match found {
        Ok(Ok(found)) => {
            let (record, usage) = found.unzip();
            Ok(FetchResult {
                as_of,
                record: record.map(Arc::new),
                usage: usage.unwrap_or_default(),
                begun,
            })
        }
        Ok(Err(error)) => Err(Arc::new(error)),
        Err(_) => Err(late()),
    };
    guard.complete(result);
}

impl CompletionGuard {
    fn complete(self, result: FetchOutcome) {
        // Removed first, so that a check that comes later begins another fetch.
        self.remove();
        self.result.send_replace(Some(result));
    }

    fn remove(&self) {
        let own = self.result.subscribe();
        let mut calls = self.calls.lock();
        // A later call may have replaced this one.
        if (calls.get(&self.key)).is_some_and(|call| call.result.same_channel(&own)) {
            calls.remove(&self.key);
        }
    }
}

impl Drop for CompletionGuard {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn of(lookup: &Lookup) -> Option<Self> {
        match lookup {
            Lookup::Id(id) => Some(Self::Id(*id)),
            Lookup::Digests(digests) => {
                let first = digests.iter().next()?;
                Some(Self::Text(*first.bytes()))
            }
            _ => None,
        }
    }
}

fn late() -> Arc<StoreError> {
    Arc::new(StoreError::unavailable_because(UnavailableKind::Late, Late))
}

fn given_up() -> Arc<StoreError> {
    Arc::new(StoreError::unavailable(GivenUp))
}
