//! Changes that other processes make, read from the store's events.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use keystile::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use crate::error::StoreError;
use crate::list::PAGE_MAX;
use crate::store::Store;

/// Pages of events that are read in one go. If there are more, everything is invalidated.
const PAGES_MAX: u32 = 16;

/// The least time between two reads, unless the interval is shorter. Any client of a database may
/// notify its listeners, so that many signals must not be as many reads.
const PAUSE_BETWEEN_READS: Duration = Duration::from_millis(20);

/// How far the events were read.
#[derive(Default)]
pub(super) struct Position(Mutex<Read>);

#[derive(Clone, Copy, Default)]
struct Read {
    /// The last event that was read; none at the start.
    last: Option<u64>,
    /// Since when nothing could be read.
    stale_since: Option<Instant>,
}

impl Position {
    pub(super) fn stale_for(&self) -> Duration {
        let since = self.read().stale_since;
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether the last attempt to read has failed.
    pub(super) fn is_stale(&self) -> bool {
        self.read().stale_since.is_some()
    }

    fn read(&self) -> Read {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, read: Read) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = read;
    }
}

impl<S: Store + 'static> Shared<S> {
    /// Reads what happened, again and again, until the end.
    pub(super) async fn watch_changes(
        self: Arc<Self>,
        every: Duration,
        signal: Option<Arc<Notify>>,
    ) {
        let signalled = async || match &signal {
            Some(signal) => signal.notified().await,
            None => core::future::pending().await,
        };
        let pause = PAUSE_BETWEEN_READS.min(every);
        loop {
            let mut read = self.position.read();
            let result = tokio::select! {
                result = self.catch_up(&mut read) => result,
                () = self.ended.cancelled() => return,
            };
            self.lease.has_read();
            read.stale_since = match result {
                Ok(()) => None,
                Err(_) => read.stale_since.or_else(|| Some(Instant::now())),
            };
            self.position.set(read);
            // Signals that come meanwhile are kept, as one.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.ended.cancelled() => return,
            }
            // While reads fail, requests do not make them more frequent.
            let requested = async || match read.stale_since {
                None => self.read_changes.notified().await,
                Some(_) => core::future::pending().await,
            };
            tokio::select! {
                () = tokio::time::sleep(every.saturating_sub(pause)) => {}
                () = signalled() => {}
                () = requested() => {}
                () = self.ended.cancelled() => return,
            }
        }
    }

    async fn catch_up(&self, read: &mut Read) -> Result<(), StoreError> {
        let Some(mut last) = read.last else {
            return self.start_at_the_end(read).await;
        };
        for _ in 0..PAGES_MAX {
            let sent = self.lease.reads();
            let page = self.store.events(None, last, PAGE_MAX);
            let page = match self.in_time(page).await {
                Ok(page) => page,
                // It would fail each time: skip it.
                Err(StoreError::Corrupt(_)) => return self.start_at_the_end(read).await,
                Err(error) => return Err(error),
            };
            let Some(number) = page.last() else {
                self.check_for_restore(read).await?;
                self.lease.renew(sent);
                return Ok(());
            };
            last = number;
            for (_, event) in &page.events {
                self.apply(event);
            }
            // What a damaged event changed is not known.
            if !page.damaged.is_empty() {
                self.keyring.invalidate_all();
            }
            read.last = Some(last);
            if page.rows() < PAGE_MAX {
                self.lease.renew(sent);
                return Ok(());
            }
        }
        self.start_at_the_end(read).await
    }

    fn apply(&self, event: &Event) {
        match (&event.key_id, event.version) {
            (Some(id), Some(version)) => self.keyring.invalidate_at(id, version),
            (Some(id), None) => self.keyring.invalidate(id),
            (None, _) => self.keyring.invalidate_all(),
        }
        if let Some(successor) = &event.successor {
            self.keyring.invalidate(successor);
        }
    }

    /// Begins after the last event. What happened before is not known: everything is
    /// invalidated.
    async fn start_at_the_end(&self, read: &mut Read) -> Result<(), StoreError> {
        let sent = self.lease.reads();
        let last = self.in_time(self.store.last_event()).await?;
        if read.last != Some(last) {
            self.keyring.invalidate_all();
        }
        read.last = Some(last);
        self.lease.renew(sent);
        Ok(())
    }

    /// If no event is new, checks for a backup that was restored by other means than keystile's:
    /// it has fewer events and other records, and the numbers of later events were read before.
    async fn check_for_restore(&self, read: &mut Read) -> Result<(), StoreError> {
        let last = self.in_time(self.store.last_event()).await?;
        if read.last.is_none_or(|known| last < known) {
            self.keyring.reset();
            read.last = Some(last);
        }
        Ok(())
    }
}
