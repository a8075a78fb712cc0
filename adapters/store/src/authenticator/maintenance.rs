//! Background work that a use of a key calls for: ending an overlap, renewing a digest.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile::{Allowed, Change, KeyId, KeyRecord, UnixMillis, rehash};

use super::Shared;
use crate::batch::Batch;
use crate::check::end_predecessor;
use crate::error::StoreError;
use crate::store::Store;

/// Tasks at once; for a key beyond these the next use tries again.
const TASKS_MAX: usize = 256;
/// Time until another attempt after the store refused the change.
const PAUSE: Duration = Duration::from_secs(5);

/// The keys that a task runs for: each further use calls for it until it is done.
#[derive(Default)]
pub(super) struct InFlight(Mutex<HashSet<KeyId>>);

struct Running<S: Store + 'static> {
    shared: Arc<Shared<S>>,
    id: KeyId,
}

enum Task {
    /// Ends the overlap of this predecessor.
    EndOverlap(KeyId),
    /// Gives the record a digest under the current pepper. It was made while the key was
    /// at hand: no key text waits here.
    Rehash(Box<Change>),
}

impl<S: Store + 'static> Shared<S> {
    /// Schedules what an allowed use calls for, which is nearly always nothing.
    #[inline]
    pub(super) fn schedule_if_due(
        self: &Arc<Self>,
        allowed: &Allowed,
        record: &Arc<KeyRecord>,
        credential: &[u8],
        now: UnixMillis,
    ) {
        if allowed.needs_rehash || allowed.ends_overlap_of.is_some() {
            self.schedule(allowed, record, credential, now);
        }
    }

    #[cold]
    fn schedule(
        self: &Arc<Self>,
        allowed: &Allowed,
        record: &Arc<KeyRecord>,
        credential: &[u8],
        now: UnixMillis,
    ) {
        let id = allowed.key_id;
        let Some(running) = Running::begin(self, id) else {
            return;
        };
        // One at a time: the next use brings the other.
        let task = match allowed.ends_overlap_of {
            Some(predecessor) => Task::EndOverlap(predecessor),
            None => match self.renewed(record, credential, now) {
                Some(change) => Task::Rehash(Box::new(change)),
                None => return,
            },
        };
        let record = Arc::clone(record);
        let work = async move {
            let shared = &*running.shared;
            let done = shared.in_time(shared.perform(&task, &record, now)).await;
            // A change that failed may have been written. If it is stale, another process may
            // have done it, and then its events have the versions.
            shared.keyring.invalidate(&id);
            if let Task::EndOverlap(predecessor) = task {
                shared.keyring.invalidate(&predecessor);
            }
            if !matches!(done, Ok(()) | Err(StoreError::Stale)) {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = shared.ended.cancelled() => {}
                }
            }
        };
        self.tasks.spawn_on(work, &self.handle);
    }

    fn renewed(&self, record: &KeyRecord, credential: &[u8], now: UnixMillis) -> Option<Change> {
        let key = self.verifier.parse(credential).ok()?;
        rehash(record, &key, self.verifier.peppers(), now).ok()
    }

    async fn perform(
        &self,
        task: &Task,
        record: &KeyRecord,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let store = self.store.acting_as(&self.process);
        match task {
            Task::EndOverlap(predecessor) => {
                let mut record = record.clone();
                end_predecessor(&store, &mut record, predecessor, now).await
            }
            Task::Rehash(change) => store.commit(&Batch::of_rehash(change)).await,
        }
    }
}

impl<S: Store + 'static> Running<S> {
    fn begin(shared: &Arc<Shared<S>>, id: KeyId) -> Option<Self> {
        let mut in_flight = shared.in_flight.lock();
        let is_new = in_flight.len() < TASKS_MAX && in_flight.insert(id);
        is_new.then(|| Self {
            shared: Arc::clone(shared),
            id,
        })
    }
}

impl<S: Store + 'static> Drop for Running<S> {
    fn drop(&mut self) {
        self.shared.in_flight.lock().remove(&self.id);
    }
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashSet<KeyId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
