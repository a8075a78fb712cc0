//! A store and two processes that use it, driven by random steps that the oracle follows.

use core::cell::Cell;
use core::net::{IpAddr, Ipv4Addr};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use keystile::{
    Allowed, Cause, Decision, Environment, Error, KeyFormat, KeyId, KeyRecord, Lookup, Pepper,
    PepperRing, Request, Requirement, UnixMillis, Verifier,
};
use keystile_store::{Authenticator, Store};

use crate::answer::{Presented, Seen};
use crate::history::State;
use crate::oracle::{DECIDERS, Oracle};
use crate::rights::{ADDRESSES, Asked, ENVIRONMENTS, METHODS, PATHS, REQUIREMENTS};
use crate::test_rng::TestRng;
use crate::text;

pub(crate) const START_MILLIS: u64 = 1_790_000_000_000;
/// Two polls and two flushes, which are a second apart.
const SETTLE_MILLIS: u64 = 2_200;
/// After a longer step back the limits need not wait for the clock to catch up.
const STEP_BACK_MILLIS_MAX: u64 = 50_000;
/// The latest steps that a failure prints.
const STEPS_SHOWN: usize = 400;
const PEPPERS_MAX: u32 = 5;

thread_local! {
    /// The clock that tasks of the processes read. Each test has a thread.
    static CLOCK: Cell<u64> = const { Cell::new(START_MILLIS) };
}

fn clock() -> Result<UnixMillis, Error> {
    UnixMillis::new(CLOCK.get())
}

pub(crate) struct World<S> {
    pub(crate) store: Arc<S>,
    /// The same database for other code, if it has tables.
    pub(crate) sql: Option<rusqlite::Connection>,
    processes: Vec<Authenticator<S>>,
    monotonic: Arc<AtomicU64>,
    pub(crate) format: KeyFormat,
    pub(crate) peppers: PepperRing,
    pub(crate) peppers_made: u32,
    verifier: Verifier,
    requirements: Vec<Requirement>,
    pub(crate) oracle: Oracle,
    pub(crate) rng: TestRng,
    /// The keys that steps choose from, the latest last.
    pub(crate) pool: Vec<KeyId>,
    /// Where most requests with the keys of a lineage go, and whether all of them do.
    homes: HashMap<KeyId, (usize, bool)>,
    pub(crate) steps: VecDeque<String>,
}

impl<S: Store + 'static> World<S> {
    pub(crate) fn new(store: Arc<S>, sql: Option<rusqlite::Connection>, seed: u64) -> Self {
        let format = KeyFormat::structured("acme").unwrap();
        let mut oracle = Oracle::default();
        oracle.now = START_MILLIS + STEP_BACK_MILLIS_MAX;
        oracle.peak = oracle.now;
        let requirements = REQUIREMENTS.map(|(text, _)| Requirement::parse(text).unwrap());
        let mut world = Self {
            store,
            sql,
            processes: Vec::new(),
            monotonic: Arc::default(),
            verifier: Verifier::new(format.clone()),
            format,
            peppers: PepperRing::none(),
            peppers_made: 0,
            requirements: requirements.into(),
            oracle,
            rng: TestRng::seeded(seed),
            pool: Vec::new(),
            homes: HashMap::new(),
            steps: VecDeque::new(),
        };
        world.tell_the_time();
        world.processes = (1..DECIDERS).map(|_| world.process()).collect();
        world
    }

    fn process(&self) -> Authenticator<S> {
        let monotonic = Arc::clone(&self.monotonic);
        Authenticator::builder(Arc::clone(&self.store), self.verifier.clone())
            .clock(clock)
            .lease_clock(move || Duration::from_millis(monotonic.load(Ordering::SeqCst)))
            .build()
            .unwrap()
    }

    /// Writes down what is done next.
    pub(crate) fn step(&mut self, text: String) {
        if self.steps.len() == STEPS_SHOWN {
            self.steps.pop_front();
        }
        self.steps
            .push_back(format!("{} {text}", self.oracle.now - START_MILLIS));
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        let at = self.rng.below(list.len() as u64) as usize;
        list[at]
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis::new(self.oracle.now).unwrap()
    }

    pub(crate) fn authenticator(&self, who: usize) -> &Authenticator<S> {
        &self.processes[who - 1]
    }

    fn tell_the_time(&self) {
        CLOCK.set(self.oracle.now);
        self.monotonic
            .store(self.oracle.monotonic, Ordering::SeqCst);
    }

    pub(crate) fn forward(&mut self, millis: u64) {
        self.oracle.now += millis;
        self.oracle.monotonic += millis;
        self.oracle.peak = self.oracle.peak.max(self.oracle.now);
        self.tell_the_time();
    }

    pub(crate) fn step_back(&mut self, millis: u64) {
        let earliest = self.oracle.peak - STEP_BACK_MILLIS_MAX;
        let now = (self.oracle.now - millis).max(earliest);
        self.oracle.set_back(now);
        self.tell_the_time();
    }

    /// Lets the processes read all changes and record what was spent.
    pub(crate) async fn settle(&mut self) {
        self.forward(SETTLE_MILLIS);
        tokio::time::sleep(Duration::from_millis(SETTLE_MILLIS)).await;
        for who in 1..DECIDERS {
            self.oracle.has_read(who);
            self.oracle.has_recorded(who, false);
        }
    }

    pub(crate) async fn restart(&mut self, who: usize, is_stopped: bool) {
        if is_stopped {
            self.processes[who - 1].stop().await.unwrap();
            self.oracle.has_recorded(who, true);
        }
        self.processes[who - 1] = self.process();
        self.oracle.has_ended(who);
    }

    /// A new current pepper; the processes know it from their next start on.
    pub(crate) async fn new_pepper(&mut self) {
        if self.peppers_made == PEPPERS_MAX {
            return;
        }
        self.peppers_made += 1;
        let pepper = |version| Pepper::new(version, &[version as u8; 32]).unwrap();
        let retired = (1..self.peppers_made).rev().map(pepper);
        self.peppers = retired.fold(PepperRing::new(pepper(self.peppers_made)), |ring, old| {
            ring.with_retired(old).unwrap()
        });
        self.verifier = Verifier::new(self.format.clone()).with_peppers(self.peppers.clone());
        for who in 1..DECIDERS {
            self.restart(who, true).await;
        }
    }

    pub(crate) fn any_key(&mut self) -> Option<KeyId> {
        let pool = core::mem::take(&mut self.pool);
        let key = (!pool.is_empty()).then(|| self.pick(&pool));
        self.pool = pool;
        key
    }

    fn home(&mut self, id: &KeyId) -> usize {
        let drawn = (self.rng.below(DECIDERS as u64) as usize, self.chance(70));
        let lineage = self.oracle.keys[id].lineage;
        let (home, is_only) = *self.homes.entry(lineage).or_insert(drawn);
        if is_only || self.chance(75) {
            home
        } else {
            drawn.0
        }
    }

    fn draw_asked(&mut self) -> Asked {
        let path = self.rng.below(PATHS.len() as u64) as usize;
        let method = self.pick(&METHODS);
        let requirement = self.rng.below(REQUIREMENTS.len() as u64) as usize;
        let (environment, address) = (self.pick(&ENVIRONMENTS), self.pick(&ADDRESSES));
        Asked {
            environment: self.chance(40).then_some(environment),
            address: self.chance(80).then_some(address),
            endpoint: self.chance(80).then_some((method, path)),
            requirement: self.chance(60).then_some(requirement),
        }
    }

    /// A request that the key is likely to be allowed, or any.
    fn asked(&mut self, id: &KeyId) -> Asked {
        let fits = self.chance(85);
        let mut asked = self.draw_asked();
        for _ in 0..12 {
            let record = self.oracle.current(id);
            if !fits || record.is_none_or(|record| record.rights.refusal(&asked).is_none()) {
                break;
            }
            asked = self.draw_asked();
        }
        asked
    }

    pub(crate) async fn check(&mut self) -> Result<(), String> {
        let Some(id) = self.any_key() else {
            return Ok(());
        };
        let who = self.home(&id);
        let asked = self.asked(&id);
        let at = self.rng.below(43) as usize;
        let key = &self.oracle.keys[&id].text;
        let (presented, text, expected) = match self.rng.below(20) {
            0 => (
                Presented::WrongSecret,
                text::with_wrong_secret(key, at),
                None,
            ),
            1 => (
                Presented::WrongSecret,
                text::with_unknown_id(key),
                Some(Cause::UnknownKey),
            ),
            2 => (
                Presented::WrongSecret,
                text::with_typo(key, at),
                Some(Cause::Malformed),
            ),
            _ => (Presented::Itself, key.clone(), None),
        };
        let seen = self.ask(who, &text, &asked).await?;
        let answer = seen
            .cause
            .map_or("Allow".to_owned(), |cause| format!("{cause:?}"));
        self.step(format!(
            "check {id} {presented:?} by {who}: {answer}, {asked:?}"
        ));
        if let Some(cause) = expected {
            return if seen.cause == Some(cause) {
                Ok(())
            } else {
                Err(format!("{seen:?} and not {cause:?}"))
            };
        }
        let ends = self
            .oracle
            .answered(who, &id, (presented, &asked), &seen)
            .map_err(|expected| format!("{seen:?}\n{expected}"))?;
        if let Some((predecessor, is_certain)) = ends {
            self.end_overlap(&id, &predecessor, who, is_certain).await?;
        }
        Ok(())
    }

    async fn ask(&self, who: usize, text: &str, asked: &Asked) -> Result<Seen, String> {
        let environment = asked
            .environment
            .map(|name| Environment::new(name).unwrap());
        let address = asked
            .address
            .map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
        let requirement = asked.requirement.map(|at| &self.requirements[at]);
        let mut request = Request::new()
            .environment(&environment)
            .address(address)
            .requires(requirement);
        if let Some((method, path)) = asked.endpoint {
            request = request.endpoint(method, PATHS[path].0);
        }
        let (key, now) = (text.as_bytes(), self.now());
        if who > 0 {
            let answer = self.authenticator(who).check(key, &request, now).await;
            return Ok(seen(&answer.decision));
        }
        let checked = keystile_store::check(&*self.store, &self.verifier, key, &request, now)
            .await
            .map_err(|error| error.to_string())?;
        if checked.decision.is_allow()
            && let Some(record) = &checked.record
        {
            self.digest_is_renewed(&record.id).await?;
        }
        Ok(seen(&checked.decision))
    }

    /// The first use of a successor ends the overlap of its predecessor. If it was decided by an
    /// older record, the write may have failed, and the next use tries again.
    async fn end_overlap(
        &mut self,
        id: &KeyId,
        predecessor: &KeyId,
        by: usize,
        is_certain: bool,
    ) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if !is_certain {
            let found = self.find(id).await?;
            let used = found.is_none_or(|record| record.ends_at_first_use.is_none());
            let current = self.oracle.current(id);
            if !used || current.is_none_or(|record| record.ends_at_first_use.is_none()) {
                return Ok(());
            }
        }
        let now = self.oracle.now;
        if let Some(old) = self.oracle.current(predecessor) {
            let mut old = old.clone();
            // A revoked key stays as it is.
            if old.state != State::Revoked {
                old.overlap_until = Some(old.overlap_until.map_or(now, |end| end.min(now)));
                self.oracle.changed(predecessor, Some(old), by);
            }
        }
        if let Some(own) = self.oracle.current(id) {
            let mut own = own.clone();
            own.ends_at_first_use = None;
            self.oracle.changed(id, Some(own), by);
        }
        Ok(())
    }

    pub(crate) async fn find(&self, id: &KeyId) -> Result<Option<KeyRecord>, String> {
        let found = self.store.find(&Lookup::Id(*id)).await;
        found.map_err(|error| error.to_string())
    }
}

fn seen(decision: &Decision) -> Seen {
    let denial = decision.denial();
    let allowed: Option<&Allowed> = match decision {
        Decision::Allow(allowed) => Some(allowed),
        Decision::Deny(_) => None,
    };
    let notice = allowed.and_then(|allowed| allowed.notice);
    Seen {
        cause: denial.map(keystile::Denial::cause),
        uses_left: allowed.and_then(|allowed| allowed.remaining_uses),
        requests_left: allowed.and_then(|allowed| Some(allowed.quota?.remaining())),
        retry_after: denial.and_then(|denial| Some(denial.retry_after()?.get())),
        notice: notice.map(|notice| (notice.replaced_by, notice.until.get())),
    }
}
