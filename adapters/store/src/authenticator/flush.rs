//! Last uses, recorded in the store every few seconds.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use keystile::{KeyId, UnixMillis};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::Shared;
use crate::error::StoreError;
use crate::store::Store;

/// Last uses that are recorded in one step.
const BATCH: usize = 1_000;

/// Last uses that were drained from the keyring and wait to be recorded.
///
/// They wait until the store has recorded them. Only the latest use of a key is kept, and the
/// number of keys is limited: a last use may be missing until the key is used again.
pub(super) struct PendingUses {
    waiting: Mutex<HashMap<KeyId, UnixMillis>>,
    count: AtomicUsize,
    dropped: AtomicU64,
    most: usize,
}

impl PendingUses {
    pub(super) fn new(most: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            most,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn add(&self, waiting: &mut HashMap<KeyId, UnixMillis>, id: KeyId, at: UnixMillis) {
        if waiting.len() >= self.most && !waiting.contains_key(&id) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let latest = waiting.entry(id).or_insert(at);
        *latest = at.max(*latest);
    }
}

impl<S: Store + 'static> Shared<S> {
    /// Records last uses until the end; [`super::Authenticator::stop`] records the rest.
    pub(super) async fn flush_every(self: Arc<Self>, every: Duration) {
        loop {
            tokio::select! {
                () = sleep(every) => {}
                () = self.ended.cancelled() => return,
            }
            // What could not be recorded waits for the next time.
            let _ = self.flush_uses().await;
        }
    }

    /// Records all uses so far. One flush at a time: what another has drained is recorded
    /// when this returns.
    pub(super) async fn flush_uses(&self) -> Result<(), StoreError> {
        let mut waiting = self.uses.waiting.lock().await;
        for used in self.keyring.drain_uses() {
            if let Some(at) = used.last_used_at {
                self.uses.add(&mut waiting, used.key_id, at);
            }
        }
        // In one order, so that processes that record the same keys do not deadlock.
        let mut uses: Vec<_> = waiting.iter().map(|(id, at)| (*id, *at)).collect();
        uses.sort_unstable();
        let mut result = Ok(());
        for batch in uses.chunks(BATCH) {
            self.uses.count.store(waiting.len(), Ordering::Relaxed);
            result = self.in_time(self.store.note_uses(batch)).await;
            if result.is_err() {
                break;
            }
            for (id, _) in batch {
                waiting.remove(id);
            }
        }
        self.uses.count.store(waiting.len(), Ordering::Relaxed);
        result
    }
}
