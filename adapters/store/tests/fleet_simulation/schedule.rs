//! One schedule: a fleet, and steps that are drawn from a seed.

use core::time::Duration;

use keystile::{
    IssueRequest, Issuer, KeyChange, KeyFormat, KeyId, Millis, RateLimit, RotationPolicy,
    UnixMillis,
};
use keystile_store::{Authenticator, StoreError, resume, revoke, save_issued, suspend};
use tokio::time::sleep_until;

use crate::clocks::{self, NODES_MAX, STORE};
use crate::database::Database;
use crate::fault::Fault;
use crate::history::{Key, Shared, Verb, VerbKind, VerbOutcome};
use crate::limits_server::LimitsServer;
use crate::mode::Counting;
use crate::network::GRID_MILLIS;
use crate::node::{Fleet, Node};
use crate::remote_store::RemoteStore;
use crate::test_rng::TestRng;

/// Steps of a schedule; most of them are requests.
const STEPS: u64 = 26;
/// Kinds of keys, and the keys at the beginning: one of each.
const KEYS: usize = 4;
const KEYS_MAX: usize = 7;
/// Limits as requests, the window in milliseconds, and the burst.
const LIMITS: [(u32, u64, u32); 5] = [
    (4, 1_000, 16),
    (5, 500, 3),
    (10, 1_000, 10),
    (3, 200, 1),
    (24, 800, 20),
];
/// How far a wall clock is set back at most, or further than a minute: by less, a limit may wait
/// until the clock has caught up.
const STEP_BACK_MILLIS: u64 = 1_200;

type Keys = Authenticator<RemoteStore>;

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) nodes: Vec<Node>,
    issuer: Issuer,
    rng: TestRng,
    /// Whether a key is asked for while requests with it wait on the same node. Which of those
    /// that wait for one fetch goes on first is drawn by tokio, and not from the seed, so only
    /// requests that were sent together may wait together, or the seed would not repeat.
    pub(crate) overlaps: bool,
    /// The key that most requests are with. If it is one with a limit or uses, few changes are
    /// of it: a key that was revoked spends nothing.
    hot: usize,
    /// What was done, if it is to be printed.
    pub(crate) steps: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Fault, prints: bool) -> Self {
        let mut rng = TestRng::seeded(seed);
        clocks::begin(&mut rng);
        let format = KeyFormat::structured("acme").unwrap();
        let count = [2, 2, 2, 3, 3, NODES_MAX][rng.below(6) as usize];
        let fleet = Fleet {
            database: Database::new(fault),
            limits: LimitsServer::new(fault),
            counting: Counting::drawn(&mut rng, count),
            history: Shared::default(),
            format: format.clone(),
            poll: Duration::from_millis(GRID_MILLIS * (80 + rng.below(45))),
            fault,
        };
        Self {
            nodes: (0..count)
                .map(|number| Node::new(seed, number, fault))
                .collect(),
            fleet,
            issuer: Issuer::new(format),
            overlaps: rng.below(4) == 0,
            hot: [0, 0, 1, 1, 1, 2 + rng.below(2) as usize][rng.below(6) as usize],
            rng,
            steps: prints.then(Vec::new),
        }
    }

    /// Runs the steps.
    pub(crate) async fn run(&mut self) {
        for kind in 0..KEYS {
            self.issue(kind, None).await;
        }
        // Beside the grid: see there.
        sleep_until(clocks::instant(GRID_MILLIS / 2)).await;
        for node in &mut self.nodes {
            node.start(&self.fleet);
        }
        for _ in 0..STEPS {
            let more = match self.rng.below(12) {
                0 => 200,
                _ => 14,
            };
            let steps = 1 + self.rng.below(more);
            self.pass(steps).await;
            self.step().await;
        }
    }

    /// Waits until so many steps of the grid have passed.
    pub(crate) async fn pass(&self, steps: u64) {
        let at = clocks::millis() / GRID_MILLIS + steps;
        sleep_until(clocks::instant(at * GRID_MILLIS)).await;
    }

    /// Waits until just after the grid, and starts a process on each node that has none.
    pub(crate) async fn start_all(&mut self) {
        let at = clocks::millis() + GRID_MILLIS / 2;
        sleep_until(clocks::instant(at)).await;
        for node in &mut self.nodes {
            node.start(&self.fleet);
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            steps.push(format!("{:>6} ms {}", clocks::millis(), what()));
        }
    }

    async fn step(&mut self) {
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        let drawn = self.rng.below(100);
        match drawn {
            0..52 => return self.ask(at),
            52..58 => {
                let node = &self.nodes[at];
                let link = match self.rng.below(3) {
                    0 => &node.limits_link,
                    _ => &node.link,
                };
                let mut trouble = link.trouble();
                let both = self.rng.below(3);
                trouble.requests_are_lost |= both != 0;
                trouble.answers_are_lost |= both != 1;
            }
            58..60 => {
                self.nodes[at].link.trouble().is_slow = true;
                self.nodes[at].limits_link.trouble().is_slow = true;
            }
            60..65 => self.nodes[at].heal(),
            65..68 => self.nodes[at].suspend(),
            68..73 => self.nodes[at].resume(),
            73..75 => {
                let is_down = !self.fleet.database.has_failed();
                self.fleet.database.is_down(is_down);
            }
            75..88 => return self.verb(drawn, at).await,
            88..91 => return self.fail_limits(),
            91..93 => {
                let millis = match self.rng.below(4) {
                    0 => 70_000 + self.rng.below(600_000) as i64,
                    1 => -70_000 - self.rng.below(600_000) as i64,
                    2 => self.rng.below(STEP_BACK_MILLIS) as i64,
                    _ => -(self.rng.below(STEP_BACK_MILLIS) as i64),
                };
                self.nodes[at].set_clock(&self.fleet, millis);
                return self.note(|| format!("the clock of {at} is set by {millis} ms"));
            }
            93 => self.nodes[at].stop(&self.fleet),
            94..96 => self.nodes[at].crash(&self.fleet),
            96..98 => self.start_all().await,
            _ => self.wake(),
        }
        let name = match drawn {
            52..58 => "is cut off",
            58..60 => "is slow",
            60..65 => "is healed",
            65..68 => "is suspended",
            68..73 => "is resumed",
            73..75 => "- the store goes down or comes back",
            93 => "stops",
            94..96 => "crashes",
            96..98 => "- all run",
            _ => "- all are woken",
        };
        self.note(|| format!("{at} {name}"));
    }

    /// The server of limits goes down or comes back, with what it had or less.
    fn fail_limits(&mut self) {
        let limits = &self.fleet.limits;
        let forgets = self.fleet.fault == Fault::LimitsForget;
        let drawn = self.rng.below(4);
        let clock = match self.rng.below(4) {
            0 => -(self.rng.below(STEP_BACK_MILLIS) as i64),
            1 => self.rng.below(STEP_BACK_MILLIS) as i64,
            2 => -70_000,
            _ => 0,
        };
        match drawn {
            0 => limits.is_flushed(),
            1 => limits.fails_over(clock),
            _ => limits.is_down(!limits.has_failed()),
        }
        if drawn < 2 && !forgets {
            self.fleet.history.lock().losses.push(clocks::millis());
        }
        self.note(|| {
            let what = ["are flushed", "fail over", "go down or come back"];
            format!("the limits {}", what[drawn.min(2) as usize])
        });
    }

    fn ask(&mut self, at: usize) {
        let keys = self.fleet.history.lock().keys.len() as u64;
        let (key, count) = match self.rng.below(4) {
            0 => (self.rng.below(keys) as usize, 1 + self.rng.below(3)),
            1 => (self.hot, 1 + self.rng.below(16)),
            _ => (self.hot, 1 + self.rng.below(4)),
        };
        self.note(|| format!("{at} is asked {count} times with key {key}"));
        if !self.overlaps && self.fleet.history.lock().waits(at, key) {
            return self.note(|| "… but it waits".to_owned());
        }
        for _ in 0..count {
            self.nodes[at].ask(&self.fleet, key);
        }
    }

    async fn verb(&mut self, drawn: u64, at: usize) {
        let by = (self.rng.below(3) > 0).then_some(at);
        let keys = self.fleet.history.lock().keys.len();
        let mut key = self.rng.below(keys as u64) as usize;
        if self.rng.below(3) > 0 {
            match self.hot {
                0 => key = 0,
                hot if key == hot => key = (key + 1) % keys,
                _ => {}
            }
        }
        let id = self.fleet.history.lock().keys[key].id;
        let kind = match drawn {
            75..79 => VerbKind::Revoke,
            79..81 => VerbKind::Suspend,
            81..83 => VerbKind::Resume,
            83..85 => VerbKind::Change,
            85..87 => VerbKind::Rotate,
            _ => VerbKind::Issue,
        };
        let writer = by.map_or("another writer".to_owned(), |at| at.to_string());
        self.note(|| format!("{kind:?} key {key} by {writer}"));
        match (kind, by) {
            (_, Some(at)) if self.nodes[at].process.is_none() => return,
            (VerbKind::Change, _) if !self.has_limit(&id) => return,
            (VerbKind::Issue, _) if keys >= KEYS_MAX => return,
            (VerbKind::Issue, _) => {
                let kind = self.rng.below(KEYS as u64) as usize;
                self.issue(kind, by).await;
            }
            (VerbKind::Rotate, _) if keys >= KEYS_MAX => return,
            (VerbKind::Rotate, None) => return,
            (VerbKind::Rotate, Some(at)) => self.rotate(at, id),
            (_, Some(at)) => self.change(at, kind, id),
            (_, None) => self.change_directly(kind, id).await,
        }
        self.wake();
    }

    /// Reports to each process that there are changes: perhaps, later, and perhaps twice.
    fn wake(&mut self) {
        for node in &self.nodes {
            let (is_sent, late) = (self.rng.below(2) == 0, self.rng.below(20));
            let Some(process) = node.process.as_ref().filter(|_| is_sent) else {
                continue;
            };
            let (signal, twice) = (process.signal.clone(), self.rng.below(4) == 0);
            let grid = clocks::millis() / GRID_MILLIS + late;
            tokio::spawn(async move {
                sleep_until(clocks::instant(grid * GRID_MILLIS + 3)).await;
                signal.notify_one();
                if twice {
                    sleep_until(clocks::instant((grid + 1) * GRID_MILLIS + 3)).await;
                    signal.notify_one();
                }
            });
        }
    }

    /// A key without a limit, with one, with counted uses, or with both.
    async fn issue(&mut self, kind: usize, by: Option<usize>) {
        let mut request = IssueRequest::new("Acme").unwrap();
        match kind {
            0 => {}
            1 => request = request.rate_limit(self.any_limit()),
            2 => request = request.uses(1 + self.rng.below(12)).unwrap(),
            _ => {
                let limit = self.any_limit();
                request = request.uses(25).unwrap().rate_limit(limit);
            }
        }
        let now = clocks::wall_of(by.unwrap_or(STORE));
        let issued = self.issuer.issue(&request, &mut self.rng, now).unwrap();
        let key = Key {
            id: issued.record.id,
            lineage: issued.record.lineage,
            text: issued.key.expose().to_owned(),
        };
        let id = key.id;
        self.fleet.history.lock().keys.push(key);
        match by {
            None => self.done(
                VerbKind::Issue,
                id,
                save_issued(&*self.fleet.database, &issued).await,
            ),
            Some(at) => {
                let save = async move |keys: Keys, _| keys.save_issued(&issued).await;
                self.nodes[at].does(&self.fleet, (VerbKind::Issue, id), save);
            }
        }
    }

    fn change(&mut self, at: usize, kind: VerbKind, id: KeyId) {
        let limit = self.any_limit();
        let bypasses = self.fleet.fault == Fault::VerbsBypassTheProcess;
        let done = async move |keys: Keys, now: UnixMillis| {
            let store = &**keys.store();
            let change = KeyChange::new().rate_limit(limit);
            match kind {
                VerbKind::Revoke if bypasses => revoke(store, &id, "leaked", now).await,
                VerbKind::Revoke => keys.revoke(&id, "leaked", now).await,
                VerbKind::Suspend => keys.suspend(&id, now).await,
                VerbKind::Resume => keys.resume(&id, now).await,
                _ => keys.change(&id, &change, now).await,
            }
            .map(drop)
        };
        self.nodes[at].does(&self.fleet, (kind, id), done);
    }

    async fn change_directly(&mut self, kind: VerbKind, id: KeyId) {
        let limit = self.any_limit();
        let (store, now) = (&*self.fleet.database, clocks::wall_of(STORE));
        let change = KeyChange::new().rate_limit(limit);
        let outcome = match kind {
            VerbKind::Revoke => revoke(store, &id, "leaked", now).await,
            VerbKind::Suspend => suspend(store, &id, now).await,
            VerbKind::Resume => resume(store, &id, now).await,
            _ => keystile_store::change(store, &id, &change, now).await,
        };
        self.done(kind, id, outcome.map(drop));
    }

    fn rotate(&mut self, at: usize, id: KeyId) {
        let overlap = [0, 500, 60_000][self.rng.below(3) as usize];
        let policy = RotationPolicy::default()
            .with_overlap(Millis::new(overlap))
            .unwrap()
            .with_end_on_first_use(self.rng.below(2) == 0);
        let format = self.fleet.format.clone();
        let mut rng = TestRng::seeded(self.rng.next_u64());
        let history = self.fleet.history.clone();
        let done = async move |keys: Keys, now| {
            let rotated = keys.rotate(&id, &policy, Some(&format), &mut rng, now);
            let rotated = rotated.await?;
            history.lock().keys.push(Key {
                id: rotated.successor.id,
                lineage: rotated.successor.lineage,
                text: rotated.key.expose().to_owned(),
            });
            Ok(())
        };
        self.nodes[at].does(&self.fleet, (VerbKind::Rotate, id), done);
    }

    /// Another writer has done this.
    fn done(&self, kind: VerbKind, id: KeyId, outcome: Result<(), StoreError>) {
        let outcome = match outcome {
            Ok(()) => VerbOutcome::Acknowledged(clocks::millis()),
            Err(_) => VerbOutcome::Failed,
        };
        let verb = Verb {
            kind,
            id,
            by: None,
            outcome,
        };
        self.fleet.history.lock().verbs.push(verb);
    }

    fn any_limit(&mut self) -> RateLimit {
        let (limit, window, burst) = LIMITS[self.rng.below(LIMITS.len() as u64) as usize];
        RateLimit::with_burst(limit, Millis::new(window), burst).unwrap()
    }

    fn has_limit(&self, id: &KeyId) -> bool {
        let written = self.fleet.database.written();
        let written = written.iter().rfind(|written| written.record.id == *id);
        written.is_some_and(|written| written.record.rate_limit.is_some())
    }
}
