//! The server that counts rate limits: it forgets, and its clock is set.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use keystile_store::{Limits, LimitsFuture, MemoryLimits, Rest, StoreError, Take, Taken};

use crate::clocks::{self, LIMITS, WALLS};
use crate::fault::Fault;
use crate::network::Link;

#[derive(Debug)]
pub(crate) struct LimitsServer {
    fault: Fault,
    states: Mutex<States>,
    epoch: AtomicU64,
    is_down: AtomicBool,
}

#[derive(Debug)]
struct States {
    primary: Arc<MemoryLimits>,
    /// It has what the primary had a moment ago, less what did not reach it.
    replica: Arc<MemoryLimits>,
    replicated: u64,
}

/// The server as one process sees it: through the network.
#[derive(Debug)]
pub(crate) struct RemoteLimits {
    pub(crate) server: Arc<LimitsServer>,
    pub(crate) link: Arc<Link>,
}

impl LimitsServer {
    pub(crate) fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            fault,
            states: Mutex::new(States {
                primary: empty(),
                replica: empty(),
                replicated: 0,
            }),
            epoch: AtomicU64::new(0),
            is_down: AtomicBool::new(false),
        })
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().unwrap()
    }

    fn epoch(&self) -> Option<u64> {
        let is_up = !self.is_down.load(Ordering::SeqCst);
        is_up.then(|| self.epoch.load(Ordering::SeqCst))
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.is_down.load(Ordering::SeqCst)
    }

    /// It is away, or back with what it had.
    pub(crate) fn is_down(&self, is_down: bool) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// It forgets all.
    pub(crate) fn is_flushed(&self) {
        let mut states = self.states();
        (states.primary, states.replica) = (empty(), empty());
    }

    /// The replica takes over, whose clock shows another time.
    pub(crate) fn fails_over(&self, ahead_millis: i64) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let mut states = self.states();
        states.primary = core::mem::replace(&mut states.replica, empty());
        clocks::set_by(LIMITS, ahead_millis);
    }

    async fn take(&self, take: Take) -> Result<Taken, StoreError> {
        let (primary, replica) = {
            let mut states = self.states();
            states.replicated += 1;
            let reaches = !states.replicated.is_multiple_of(5);
            let replica = reaches.then(|| Arc::clone(&states.replica));
            (Arc::clone(&states.primary), replica)
        };
        if let Some(replica) = replica {
            replica.take(&take).await?;
        }
        let mut taken = primary.take(&take).await?;
        if self.fault == Fault::LimitsGiveTwice {
            taken.tokens *= 2;
        }
        Ok(taken)
    }

    async fn give_back(&self, rest: Vec<Rest>) -> Result<(), StoreError> {
        let (primary, replica) = {
            let states = self.states();
            (Arc::clone(&states.primary), Arc::clone(&states.replica))
        };
        replica.give_back(&rest).await?;
        primary.give_back(&rest).await
    }
}

fn empty() -> Arc<MemoryLimits> {
    Arc::new(MemoryLimits::with_clock(WALLS[LIMITS]))
}

impl Limits for RemoteLimits {
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken> {
        let (epoch, server) = (Arc::clone(&self.server), Arc::clone(&self.server));
        let take = *take;
        let serve = async move { server.take(take).await };
        Box::pin(self.link.call(move || epoch.epoch(), serve))
    }

    fn give_back<'a>(&'a self, rest: &'a [Rest]) -> LimitsFuture<'a, ()> {
        let (epoch, server) = (Arc::clone(&self.server), Arc::clone(&self.server));
        let rest = rest.to_vec();
        let serve = async move { server.give_back(rest).await };
        Box::pin(self.link.call(move || epoch.epoch(), serve))
    }
}
