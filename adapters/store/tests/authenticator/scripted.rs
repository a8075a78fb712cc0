//! A store that fails, waits or lags as a test requires, and keys to look up in it.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use keystile::{
    By, DenialCode, IssueRequest, Issued, KeyFormat, KeyId, KeyRecord, Lookup, PepperRing,
    RateState, Request, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{
    Answer, Authenticator, AuthenticatorBuilder, Batch, CorruptRow, Filter, Listed, ListedEvents,
    MemoryStore, Page, RateNote, SpendRequest, Store, StoreError, StoredUsage,
};
use tokio::sync::watch;
use tokio::time::Instant;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Fails,
    Panics,
    /// Events cannot be read, for a damaged one.
    Damaged,
    CommitFails,
    /// Events cannot be read.
    EventsFail,
    /// The number of the last event cannot be read.
    LastEventFails,
    /// Finds answer the version before.
    Lags,
    /// Finds take 3 s.
    Slow,
}

/// How often each method was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) find: u32,
    pub(crate) commit: u32,
    pub(crate) note_rates: u32,
    pub(crate) note_uses: u32,
    pub(crate) events: u32,
    pub(crate) last_event: u32,
}

/// The store in memory, with a gate: finds and commits, or only reads of events, wait at it
/// before they return.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) store: MemoryStore,
    calls: Mutex<Calls>,
    trouble: Mutex<Trouble>,
    gate: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
    holds_finds: AtomicBool,
    holds_events: AtomicBool,
    server: Mutex<Option<Server>>,
}

/// A clock of the store's own, and how long a message takes to it or from it.
#[derive(Clone, Copy, Debug)]
struct Server {
    begun: Instant,
    latency: Duration,
}

impl Server {
    fn clock(self) -> UnixMillis {
        let millis = self.begun.elapsed().as_millis();
        at(90_000_000 + u64::try_from(millis).unwrap())
    }
}

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            store: MemoryStore::new(),
            calls: Mutex::default(),
            trouble: Mutex::new(Trouble::None),
            gate: watch::Sender::new(true),
            waiting: watch::Sender::new(0),
            holds_finds: AtomicBool::new(true),
            holds_events: AtomicBool::new(false),
            server: Mutex::default(),
        })
    }

    pub(crate) fn trouble(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    /// Gives the store a clock of its own, which is as far away.
    pub(crate) fn is_at(&self, latency: Duration) {
        let begun = Instant::now();
        *self.server.lock().unwrap() = Some(Server { begun, latency });
    }

    /// Closes the gate only for commits.
    pub(crate) fn hold_commits(&self) {
        self.holds_finds.store(false, Ordering::SeqCst);
        self.gate.send_replace(false);
    }

    /// Closes the gate only for reads of events.
    pub(crate) fn hold_events(&self) {
        self.holds_finds.store(false, Ordering::SeqCst);
        self.holds_events.store(true, Ordering::SeqCst);
        self.gate.send_replace(false);
    }

    /// Closes the gate for finds too.
    pub(crate) fn hold_finds(&self) {
        self.holds_finds.store(true, Ordering::SeqCst);
        self.gate.send_replace(false);
    }

    pub(crate) fn close(&self) {
        self.gate.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    /// Waits until so many wait at the gate.
    pub(crate) async fn at_the_gate(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        waiting.wait_for(|waiting| *waiting == count).await.unwrap();
    }

    /// How many wait at the gate.
    pub(crate) fn held(&self) -> usize {
        *self.waiting.borrow()
    }

    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Calls {
        core::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn call(&self, count: impl FnOnce(&mut Calls)) {
        count(&mut self.calls.lock().unwrap());
    }

    async fn pass(&self) {
        struct Waits<'s>(&'s Scripted);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.waiting.send_modify(|waiting| *waiting -= 1);
            }
        }
        if !*self.gate.borrow() {
            self.waiting.send_modify(|waiting| *waiting += 1);
            let _waits = Waits(self);
            self.gate.subscribe().wait_for(|open| *open).await.unwrap();
        }
    }

    fn sound(&self) -> Result<(), StoreError> {
        let trouble = *self.trouble.lock().unwrap();
        assert_ne!(
            trouble,
            Trouble::Panics,
            "the store panics, as the test requires"
        );
        match trouble {
            Trouble::Fails => Err(StoreError::unavailable(std::io::Error::other("down"))),
            _ => Ok(()),
        }
    }
}

impl Store for Scripted {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.call(|calls| calls.find += 1);
        let found = self.store.find(lookup).await;
        if self.holds_finds.load(Ordering::SeqCst) {
            self.pass().await;
        }
        if *self.trouble.lock().unwrap() == Trouble::Slow {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        self.sound()?;
        let lags = *self.trouble.lock().unwrap() == Trouble::Lags;
        found.map(|found| {
            found.map(|mut record| {
                record.version -= u64::from(lags);
                record
            })
        })
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.sound()?;
        self.store.lineage(lineage).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.sound()?;
        self.store.list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.call(|calls| calls.commit += 1);
        self.sound()?;
        if *self.trouble.lock().unwrap() == Trouble::CommitFails {
            return Err(StoreError::unavailable(std::io::Error::other("full")));
        }
        let result = self.store.commit(batch).await;
        self.pass().await;
        result
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.sound()?;
        let server = *self.server.lock().unwrap();
        let mut stored = self.store.usage(lineage).await?;
        if let Some(server) = server {
            stored.clock = Some(server.clock());
            tokio::time::sleep(server.latency).await;
        }
        Ok(stored)
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        self.sound()?;
        self.store.spend(request).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.sound()?;
        self.store.replace_rate(lineage, before, after).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        self.call(|calls| calls.note_rates += 1);
        self.sound()?;
        let Some(server) = *self.server.lock().unwrap() else {
            return self.store.note_rates(rates, now).await;
        };
        tokio::time::sleep(server.latency).await;
        let clock = server.clock();
        let mut rates = rates.to_vec();
        for note in &mut rates {
            note.state = note.state.moved(now, clock);
        }
        self.store.note_rates(&rates, clock).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.call(|calls| calls.note_uses += 1);
        self.sound()?;
        self.store.note_uses(uses).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.call(|calls| calls.events += 1);
        self.sound()?;
        if *self.trouble.lock().unwrap() == Trouble::EventsFail {
            return Err(StoreError::unavailable(std::io::Error::other("no right")));
        }
        let page = self.store.events(key_id, after, limit).await?;
        if self.holds_events.load(Ordering::SeqCst) {
            self.pass().await;
        }
        if *self.trouble.lock().unwrap() == Trouble::Damaged && page.rows() > 0 {
            return Err(StoreError::Corrupt(CorruptRow::new(
                1,
                "kind",
                "the name of an event kind",
            )));
        }
        Ok(page)
    }

    async fn prune_events(
        &self,
        before: UnixMillis,
        limit: usize,
        by: &By,
    ) -> Result<u64, StoreError> {
        self.store.prune_events(before, limit, by).await
    }

    async fn last_event(&self) -> Result<u64, StoreError> {
        self.call(|calls| calls.last_event += 1);
        self.sound()?;
        if *self.trouble.lock().unwrap() == Trouble::LastEventFails {
            return Err(StoreError::unavailable(std::io::Error::other("late")));
        }
        self.store.last_event().await
    }
}

pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

pub(crate) fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

/// A key of Acme's, in the store.
pub(crate) async fn issued<S: Store>(store: &S) -> Issued {
    issued_as(store, IssueRequest::new("Acme").unwrap()).await
}

pub(crate) async fn issued_as<S: Store>(store: &S, request: IssueRequest) -> Issued {
    let issued = issue(&format(), &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    keystile_store::save_issued(store, &issued).await.unwrap();
    issued
}

pub(crate) fn over<S: Store + 'static>(store: &Arc<S>) -> AuthenticatorBuilder<S> {
    Authenticator::builder(Arc::clone(store), Verifier::new(format()))
}

/// Waits until the events' reader has begun, which invalidates everything once.
pub(crate) async fn has_begun<S: Store + 'static>(authenticator: &Authenticator<S>) {
    while authenticator.stats().keyring.invalidations == 0 {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn ask<S: Store + 'static>(
    authenticator: &Authenticator<S>,
    issued: &Issued,
) -> Answer {
    let key = issued.key.expose().as_bytes();
    authenticator.check(key, &Request::new(), at(1_000)).await
}

/// The code of a denial; `None` if the key is allowed, with its record.
pub(crate) fn code(answer: &Answer) -> Option<DenialCode> {
    let allowed = answer.decision.is_allow();
    assert_eq!(
        allowed,
        answer.record.is_some(),
        "a record goes with an allow"
    );
    answer.decision.denial().map(keystile::Denial::code)
}
