//! What a use leaves to be done: an overlap to end, a digest to renew. It is done behind
//! the request's back.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile::{Allowed, Change, KeyId, KeyRecord, UnixMillis, rehash};

use super::Parts;
use crate::check::end_predecessor;
use crate::error::StoreError;
use crate::store::{Batch, Store};

/// Keys that are looked after at once; the next use of one on top tries again.
const MARKS_MAX: usize = 256;
/// Time before a key is tried again whose change the store did not take.
const PAUSE: Duration = Duration::from_secs(5);

/// The keys that are being looked after: each use of them says so until it is done.
#[derive(Default)]
pub(super) struct Marks(Mutex<HashSet<KeyId>>);

struct Mark<S: Store + 'static> {
    parts: Arc<Parts<S>>,
    id: KeyId,
}

enum Care {
    /// Ends the overlap of this predecessor.
    EndOverlap(KeyId),
    /// Gives the record a digest under the current pepper. It was made while the key was
    /// at hand: no key text waits here.
    Rehash(Box<Change>),
}

impl<S: Store + 'static> Parts<S> {
    /// Sees to what an allowed use leaves to be done, which most often is nothing.
    #[inline]
    pub(super) fn care_for(
        self: &Arc<Self>,
        allowed: &Allowed,
        record: &Arc<KeyRecord>,
        credential: &[u8],
        now: UnixMillis,
    ) {
        if allowed.needs_rehash || allowed.ends_overlap_of.is_some() {
            self.look_after(allowed, record, credential, now);
        }
    }

    #[cold]
    fn look_after(
        self: &Arc<Self>,
        allowed: &Allowed,
        record: &Arc<KeyRecord>,
        credential: &[u8],
        now: UnixMillis,
    ) {
        let id = allowed.key_id;
        let Some(mark) = Mark::set(self, id) else {
            return;
        };
        // One at a time: the next use brings the other.
        let care = match allowed.ends_overlap_of {
            Some(predecessor) => Care::EndOverlap(predecessor),
            None => match self.renewed(record, credential, now) {
                Some(change) => Care::Rehash(Box::new(change)),
                None => return,
            },
        };
        let record = Arc::clone(record);
        let work = async move {
            let parts = &*mark.parts;
            match parts.in_time(parts.take_care(&care, &record, now)).await {
                // Somebody else may have done it.
                Ok(()) | Err(StoreError::Stale) => {
                    parts.keyring.invalidate(&id);
                    if let Care::EndOverlap(predecessor) = care {
                        parts.keyring.invalidate(&predecessor);
                    }
                }
                Err(_) => tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = parts.ended.cancelled() => {}
                },
            }
        };
        self.tasks.spawn_on(work, &self.handle);
    }

    fn renewed(&self, record: &KeyRecord, credential: &[u8], now: UnixMillis) -> Option<Change> {
        let key = self.verifier.parse(credential).ok()?;
        rehash(record, &key, self.verifier.peppers(), now).ok()
    }

    async fn take_care(
        &self,
        care: &Care,
        record: &KeyRecord,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        match care {
            Care::EndOverlap(predecessor) => {
                let mut record = record.clone();
                end_predecessor(&*self.store, &mut record, predecessor, now).await
            }
            Care::Rehash(change) => self.store.commit(&Batch::of(change)).await,
        }
    }
}

impl<S: Store + 'static> Mark<S> {
    fn set(parts: &Arc<Parts<S>>, id: KeyId) -> Option<Self> {
        let mut marked = parts.marks.lock();
        let is_new = marked.len() < MARKS_MAX && marked.insert(id);
        is_new.then(|| Self {
            parts: Arc::clone(parts),
            id,
        })
    }
}

impl<S: Store + 'static> Drop for Mark<S> {
    fn drop(&mut self) {
        self.parts.marks.lock().remove(&self.id);
    }
}

impl Marks {
    fn lock(&self) -> MutexGuard<'_, HashSet<KeyId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
