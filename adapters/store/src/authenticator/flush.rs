//! Last uses, noted in the store every few seconds.

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

/// Last uses that are noted in one step.
const BATCH: usize = 1_000;

/// Last uses that were drained from the keyring and wait to be noted.
///
/// They wait until the store has taken them. Only the latest use of a key is kept, and the
/// number of keys is limited: a last use that is lost for a while does no harm.
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
    /// Notes what was drained, until the end; the last of it is for [`super::Authenticator::stop`].
    pub(super) async fn flush_every(self: Arc<Self>, every: Duration) {
        loop {
            tokio::select! {
                () = sleep(every) => {}
                () = self.ended.cancelled() => return,
            }
            // What could not be noted waits for the next time.
            let _ = self.flush_uses().await;
        }
    }

    /// Notes all uses so far. One flush at a time: what another has drained is noted when
    /// this returns.
    pub(super) async fn flush_uses(&self) -> Result<(), StoreError> {
        let mut waiting = self.uses.waiting.lock().await;
        for used in self.keyring.drain_uses() {
            if let Some(at) = used.last_used_at {
                self.uses.add(&mut waiting, used.key_id, at);
            }
        }
        // In one order, so that processes that note the same keys do not deadlock.
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
