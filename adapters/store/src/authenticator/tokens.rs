//! Tokens of rate limits that all processes share: taken for requests that wait, and given
//! back if they were not used.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile::{
    Check, Grant, KeyId, KeyRecord, Leases, Millis, RateLimit, RateState, Request, TokenTicket,
    UnixMillis, UnusedTokens,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use super::check::after;
use crate::error::{StoreError, UnavailableKind};
use crate::limits::{Limits, Rest, Take, Taken};
use crate::store::Store;

/// How often in each length of a lease what was not used is given back.
const RETURNS: u32 = 8;
/// The shortest time between two returns.
const RETURN_PAUSE: Duration = Duration::from_millis(5);
/// That without leases: a token is left only if the key was changed while it was taken, and the
/// limits do not take it back.
const NO_LEASE_PAUSE: Duration = Duration::from_secs(1);
/// The most that [`Keyring::unused_tokens`](keystile::Keyring::unused_tokens) returns at once.
const UNUSED_MAX: usize = 1_024;
/// Rounds in which a request waits for tokens that another one takes.
const SHARED_ROUNDS: u32 = 4;

/// What a check has waited for so far.
pub(super) struct Waits {
    begun: Instant,
    rounds: core::ops::Range<u32>,
    /// How many requests waited for the same tokens.
    others: u32,
    /// Why the limits could not be asked.
    pub(super) failure: Option<Arc<StoreError>>,
}

impl Waits {
    pub(super) fn new(begun: Instant, rounds: u32) -> Self {
        Self {
            begun,
            rounds: 0..rounds,
            others: 0,
            failure: None,
        }
    }
}

/// The calls for tokens that are under way.
pub(super) struct Tokens {
    limits: Arc<dyn Limits>,
    leases: Leases,
    patience: Duration,
    calls: Mutex<HashMap<Wanted, Call>>,
    /// Whether the last call has failed, and whether one tries again.
    fails: AtomicBool,
    probing: AtomicBool,
    counters: Counters,
}

/// The key whose lease the tokens are for, and its limit.
type Wanted = (KeyId, RateLimit);

/// What a call leaves for those who waited for it: how many they were, and why it has failed if
/// it has.
type Ended = (u32, Option<Arc<StoreError>>);

struct Call {
    /// Requests that wait for it and have to ask again.
    waiting: u32,
    ends: watch::Receiver<Ended>,
}

/// A call that this request makes for all that wait; dropped, it ends.
struct Begun<'t> {
    tokens: &'t Tokens,
    wanted: Wanted,
    failure: Option<Arc<StoreError>>,
    ends: watch::Sender<Ended>,
}

enum Joined<'t> {
    Begins(Begun<'t>),
    Waits(watch::Receiver<Ended>),
}

/// The one request that tries limits that have failed.
struct Probe<'t>(&'t AtomicBool);

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    failed: AtomicU64,
}

/// What came of asking.
pub(super) enum Asked {
    /// These were taken, after that instant.
    Taken(Taken),
    /// Another request took some, for which so many waited: check again.
    Shared(u32),
}

#[derive(Debug, thiserror::Error)]
#[error("the limits did not answer in time")]
struct Late;

#[derive(Debug, thiserror::Error)]
#[error("the limits do not answer, and another request is trying them")]
struct Away;

impl Tokens {
    pub(super) fn new(limits: Arc<dyn Limits>, leases: Leases, patience: Duration) -> Self {
        Self {
            limits,
            leases,
            patience,
            calls: Mutex::default(),
            fails: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    /// How often tokens were asked for.
    pub(super) fn asked(&self) -> u64 {
        self.counters.calls.load(Ordering::Relaxed)
    }

    /// How often that failed.
    pub(super) fn failed(&self) -> u64 {
        self.counters.failed.load(Ordering::Relaxed)
    }

    /// The state of a limit, by the caller's clock.
    pub(super) async fn state(
        &self,
        lineage: KeyId,
        limit: RateLimit,
        now: UnixMillis,
    ) -> Result<RateState, Arc<StoreError>> {
        let taken = self.take(Take::new(lineage, limit, 0)).await?;
        Ok(taken.state.moved(taken.clock, now))
    }

    /// Takes tokens for a request and those that ask meanwhile, or waits for another request
    /// that does.
    pub(super) async fn ask(&self, key_id: KeyId, take: Take) -> Result<Asked, Arc<StoreError>> {
        if self.fails.load(Ordering::Relaxed) {
            // One tries them, and none waits for it.
            return self.take(take).await.map(Asked::Taken);
        }
        match self.join((key_id, take.limit)) {
            Joined::Waits(mut ends) => {
                // It ends in any case, also if its request was dropped.
                let _ = ends.changed().await;
                let (waited, failure) = ends.borrow().clone();
                failure.map_or(Ok(Asked::Shared(waited)), Err)
            }
            Joined::Begins(mut begun) => {
                let taken = self.take(take).await;
                begun.failure = taken.as_ref().err().cloned();
                taken.map(Asked::Taken)
            }
        }
    }

    /// Takes tokens, each request for itself.
    pub(super) async fn take(&self, take: Take) -> Result<Taken, Arc<StoreError>> {
        let _probe = self.turn()?;
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        let answer = timeout(self.patience, self.limits.take(&take)).await;
        let late = |_| StoreError::unavailable_because(UnavailableKind::Late, Late);
        let taken = answer.map_err(late).flatten().map_err(Arc::new);
        // An error about one lineage says nothing about the others.
        let is_away = taken.as_ref().is_err_and(|error| is_away(error));
        self.fails.store(is_away, Ordering::Relaxed);
        if taken.is_err() {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

impl Tokens {
    /// Gives back what was not used. If that fails, it is lost: to try again could give it
    /// back twice.
    async fn give_back(&self, unused: &[UnusedTokens]) {
        if unused.is_empty() || self.fails.load(Ordering::Relaxed) {
            return;
        }
        let mut rest: Vec<_> = unused.iter().map(Rest::of).collect();
        // In one order, so that processes that give back to the same lineages do not wait for each
        // other in turn.
        rest.sort_unstable_by_key(|rest| (rest.lineage, rest.taken_at));
        // Later they are not taken back.
        let within = Duration::from_millis(self.leases.within().get());
        let _ = timeout(self.patience.min(within), self.limits.give_back(&rest)).await;
    }

    /// A permission to ask. While the limits do not answer, one request at a time has it, and
    /// the others do not wait.
    fn turn(&self) -> Result<Option<Probe<'_>>, Arc<StoreError>> {
        if !self.fails.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if self.probing.swap(true, Ordering::Relaxed) {
            let away = StoreError::unavailable_because(UnavailableKind::Late, Away);
            return Err(Arc::new(away));
        }
        Ok(Some(Probe(&self.probing)))
    }

    fn join(&self, wanted: Wanted) -> Joined<'_> {
        let mut calls = self.calls();
        if let Some(call) = calls.get_mut(&wanted) {
            call.waiting = call.waiting.saturating_add(1);
            return Joined::Waits(call.ends.clone());
        }
        let (sender, ends) = watch::channel((0, None));
        calls.insert(wanted, Call { waiting: 0, ends });
        Joined::Begins(Begun {
            tokens: self,
            wanted,
            failure: None,
            ends: sender,
        })
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<Wanted, Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the limits do not answer, for whatever lineage.
fn is_away(error: &StoreError) -> bool {
    let kind = error.unavailable_kind();
    kind.is_some_and(|kind| kind != UnavailableKind::DamagedState)
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let call = self.tokens.calls().remove(&self.wanted);
        let waiting = call.map_or(0, |call| call.waiting);
        self.ends.send_replace((waiting, self.failure.take()));
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<S: Store + 'static> Shared<S> {
    /// Goes on with a check that needs tokens. It began at `now`.
    pub(super) async fn settle_tokens<'a>(
        &self,
        ticket: TokenTicket<'a>,
        waits: &mut Waits,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Result<Check<'a, Arc<KeyRecord>>, Arc<StoreError>> {
        let tokens = self.tokens.as_ref().ok_or(StoreError::Stale)?;
        let round = waits.rounds.next().ok_or(StoreError::Stale)?;
        let asked_at = after(now, waits.begun.elapsed());
        let (lineage, limit) = (ticket.lineage(), ticket.limit());
        let is_shared = tokens.leases.usable() > Millis::ZERO && round < SHARED_ROUNDS;
        let asked = if is_shared {
            let others = waits.others.min(tokens.leases.tokens_at_once(&limit));
            let take = Take::new(lineage, limit, ticket.tokens().max(others));
            tokens.ask(ticket.key_id(), take).await
        } else {
            // What others would take may come too late for this one.
            let take = Take::new(lineage, limit, 1);
            tokens.take(take).await.map(Asked::Taken)
        };
        // Tokens are used up to an instant, and the request may have waited for a while.
        let now = after(now, waits.begun.elapsed());
        Ok(match asked {
            Ok(Asked::Taken(taken)) => {
                let state = taken.state.moved(taken.clock, now);
                let grant = Grant::new(taken.tokens, state, asked_at, taken.clock);
                self.keyring.grant(ticket, grant, now)
            }
            Ok(Asked::Shared(others)) => {
                waits.others = others;
                self.keyring.check(credential, request, now)
            }
            Err(failure) if !is_away(&failure) => return Err(failure),
            Err(failure) => {
                waits.failure = Some(failure);
                self.keyring.grant(ticket, Grant::degraded(), now)
            }
        })
    }

    /// Gives back what was not used, again and again, until the end.
    pub(super) async fn give_back_tokens(self: Arc<Self>) {
        let Some(tokens) = &self.tokens else { return };
        let length = Duration::from_millis(tokens.leases.length().get());
        let pause = match length.checked_div(RETURNS) {
            Some(part) if part > Duration::ZERO => part.max(RETURN_PAUSE),
            _ => NO_LEASE_PAUSE,
        };
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = self.ended.cancelled() => return,
            }
            // Without a clock the next time has to do.
            let Ok(now) = (self.clock)() else { continue };
            loop {
                let unused = self.keyring.unused_tokens(now);
                tokens.give_back(&unused).await;
                // Not more than one call returns.
                if unused.len() < UNUSED_MAX {
                    break;
                }
            }
        }
    }

    /// Gives back all that is left.
    pub(super) async fn give_back_all_tokens(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.give_back(&self.keyring.all_unused_tokens()).await;
        }
    }
}
