//! Fetches of records: one for all who wait for the same key.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile::{KeyId, KeyRecord, Lookup};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::StoreError;
use crate::store::Store;

/// What a fetch came to, and how much was invalidated before it began.
#[derive(Clone, Debug)]
pub(super) struct Landed {
    pub(super) as_of: u64,
    pub(super) record: Option<Arc<KeyRecord>>,
}

type Outcome = Result<Landed, Arc<StoreError>>;

/// The fetches that are under way.
///
/// Each is a task of its own: whoever asked first may go away, and the others still get
/// their answer. How many run at once is bounded; who comes on top waits for a place.
pub(super) struct Flights<S> {
    store: Arc<S>,
    limit: Duration,
    places: Arc<Semaphore>,
    handle: Handle,
    ended: CancellationToken,
    tasks: TaskTracker,
    open: Arc<Open>,
}

/// What is looked for. The first of an opaque key's digests names its text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Sought {
    Id(KeyId),
    Text([u8; 32]),
}

#[derive(Default)]
struct Open(Mutex<HashMap<Sought, Flight>>);

#[derive(Clone)]
struct Flight {
    as_of: u64,
    landed: watch::Receiver<Option<Outcome>>,
}

/// Takes a flight off the board however it ends.
struct Landing {
    open: Arc<Open>,
    sought: Sought,
    landed: watch::Sender<Option<Outcome>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the store did not answer in time")]
struct Late;

#[derive(Debug, thiserror::Error)]
#[error("the fetch was given up")]
struct GivenUp;

impl<S: Store + 'static> Flights<S> {
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
            places: Arc::new(Semaphore::new(most)),
            handle,
            ended,
            tasks,
            open: Arc::default(),
        }
    }

    /// What the store has, by a fetch that is under way or by a new one.
    ///
    /// `as_of` is how much was invalidated before the caller asked. `anew` leaves out
    /// fetches that began before that.
    pub(super) async fn fetch(&self, lookup: &Lookup, as_of: u64, anew: bool) -> Outcome {
        let wait = async {
            let mut landed = self.join_or_begin(lookup, as_of, anew).await?;
            match landed.wait_for(Option::is_some).await {
                Ok(landed) => landed.clone().unwrap_or_else(|| Err(given_up())),
                Err(_) => Err(given_up()),
            }
        };
        timeout(self.limit, wait)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    /// Runs work on the store in a place among the fetches, and within their time.
    pub(super) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Arc<StoreError>> {
        let in_place = async {
            let _place = self.place().await?;
            work.await.map_err(Arc::new)
        };
        timeout(self.limit, in_place)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn join_or_begin(
        &self,
        lookup: &Lookup,
        as_of: u64,
        anew: bool,
    ) -> Result<watch::Receiver<Option<Outcome>>, Arc<StoreError>> {
        let sought = Sought::of(lookup).ok_or_else(given_up)?;
        let joined = |open: &HashMap<_, Flight>| {
            let flight = open.get(&sought)?;
            (!anew || flight.as_of >= as_of).then(|| flight.landed.clone())
        };
        if let Some(landed) = joined(&self.open.board()) {
            return Ok(landed);
        }
        let place = self.place().await?;
        let mut open = self.open.board();
        if let Some(landed) = joined(&open) {
            return Ok(landed);
        }
        let (sender, landed) = watch::channel(None);
        let flight = Flight {
            as_of,
            landed: landed.clone(),
        };
        open.insert(sought, flight);
        drop(open);
        let landing = Landing {
            open: Arc::clone(&self.open),
            sought,
            landed: sender,
        };
        let flight = fly(
            Arc::clone(&self.store),
            *lookup,
            as_of,
            landing,
            place,
            self.ended.clone(),
            self.limit,
        );
        self.tasks.spawn_on(flight, &self.handle);
        Ok(landed)
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Arc<StoreError>> {
        Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| given_up())
    }
}

async fn fly<S: Store>(
    store: Arc<S>,
    lookup: Lookup,
    as_of: u64,
    landing: Landing,
    _place: OwnedSemaphorePermit,
    ended: CancellationToken,
    limit: Duration,
) {
    let found = tokio::select! {
        found = timeout(limit, store.find(&lookup)) => found,
        () = ended.cancelled() => return,
    };
    let result = match found {
        Ok(Ok(record)) => Ok(Landed {
            as_of,
            record: record.map(Arc::new),
        }),
        Ok(Err(error)) => Err(Arc::new(error)),
        Err(_) => Err(late()),
    };
    landing.land(result);
}

impl Landing {
    fn land(self, result: Outcome) {
        // Off the board first: who comes from here on begins a flight of its own.
        self.leave();
        self.landed.send_replace(Some(result));
    }

    fn leave(&self) {
        let own = self.landed.subscribe();
        let mut open = self.open.board();
        // A later flight may have taken this one's place.
        if (open.get(&self.sought)).is_some_and(|flight| flight.landed.same_channel(&own)) {
            open.remove(&self.sought);
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Open {
    fn board(&self) -> MutexGuard<'_, HashMap<Sought, Flight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sought {
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
    Arc::new(StoreError::unavailable(Late))
}

fn given_up() -> Arc<StoreError> {
    Arc::new(StoreError::unavailable(GivenUp))
}
