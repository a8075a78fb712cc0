//! What other processes change, heard of by the store's events.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use keystile::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Parts;
use crate::error::StoreError;
use crate::store::{PAGE_MAX, Store};

/// Pages of events that are read one by one. Behind more than these, all is fetched anew.
const PAGES_MAX: u32 = 16;

/// How far the events were read.
#[derive(Default)]
pub(super) struct Position(Mutex<Read>);

#[derive(Clone, Copy, Default)]
struct Read {
    /// The last event that was heard of; none at the start.
    last: Option<u64>,
    /// Since when nothing could be read.
    blind_since: Option<Instant>,
}

impl Position {
    pub(super) fn stale_for(&self) -> Duration {
        let since = self.read().blind_since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn read(&self) -> Read {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, read: Read) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }
}

impl<S: Store + 'static> Parts<S> {
    /// Reads what happened, again and again, until the end.
    pub(super) async fn hear_changes(self: Arc<Self>, every: Duration, wake: Option<Arc<Notify>>) {
        let woken = async || match &wake {
            Some(wake) => wake.notified().await,
            None => core::future::pending().await,
        };
        loop {
            let mut read = self.position.read();
            let result = tokio::select! {
                result = self.catch_up(&mut read) => result,
                () = self.ended.cancelled() => return,
            };
            read.blind_since = match result {
                Ok(()) => None,
                Err(_) => read.blind_since.or_else(|| Some(Instant::now())),
            };
            self.position.set(read);
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = woken() => {}
                () = self.ended.cancelled() => return,
            }
        }
    }

    async fn catch_up(&self, read: &mut Read) -> Result<(), StoreError> {
        let Some(mut last) = read.last else {
            return self.start_at_the_end(read).await;
        };
        for _ in 0..PAGES_MAX {
            let page = self.in_time(self.store.events(None, last, PAGE_MAX)).await;
            let page = match page {
                Ok(page) => page,
                // It would be so each time: go around it.
                Err(StoreError::Corrupt(_)) => return self.start_at_the_end(read).await,
                Err(error) => return Err(error),
            };
            let Some((number, _)) = page.last() else {
                return self.look_back(read).await;
            };
            last = *number;
            for (_, event) in &page {
                self.heard(event);
            }
            read.last = Some(last);
            if page.len() < PAGE_MAX {
                return Ok(());
            }
        }
        self.start_at_the_end(read).await
    }

    fn heard(&self, event: &Event) {
        self.keyring.invalidate(&event.key_id);
        if let Some(successor) = &event.successor {
            self.keyring.invalidate(successor);
        }
    }

    /// Begins behind the last event. What happened before is not known: all is void.
    async fn start_at_the_end(&self, read: &mut Read) -> Result<(), StoreError> {
        let last = self.in_time(self.store.last_event()).await?;
        if read.last != Some(last) {
            self.keyring.invalidate_all();
        }
        read.last = Some(last);
        Ok(())
    }

    /// After trouble, whether it still is the same store: one that was put back from a
    /// backup has fewer events, and other records.
    async fn look_back(&self, read: &mut Read) -> Result<(), StoreError> {
        if read.blind_since.is_none() {
            return Ok(());
        }
        let last = self.in_time(self.store.last_event()).await?;
        if read.last.is_none_or(|known| last < known) {
            self.keyring.reset();
            read.last = Some(last);
        }
        Ok(())
    }
}
