//! One schedule: a fleet, and steps that are drawn from a seed.

use core::time::Duration;

use keystile::{Issuer, KeyFormat};
use tokio::time::sleep_until;

use crate::clocks::{self, NODES_MAX};
use crate::database::Database;
use crate::fault::Fault;
use crate::history::Shared;
use crate::limits_server::LimitsServer;
use crate::mode::Counting;
use crate::network::GRID_MILLIS;
use crate::node::{Fleet, Node};
use crate::test_rng::TestRng;

/// Steps of a schedule; most of them are requests.
const STEPS: u64 = 26;
/// Kinds of keys, and the keys at the beginning: one of each.
pub(crate) const KEYS: usize = 4;
/// How far a wall clock is set back at most, unless it leaps. A limit may wait until the clock has
/// caught up if that takes a minute at most, so no few of these steps add up to between the two.
const STEP_BACK_MILLIS: u64 = 1_200;
const LEAP_MILLIS: i64 = 200_000;

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) nodes: Vec<Node>,
    pub(crate) issuer: Issuer,
    pub(crate) rng: TestRng,
    /// Whether a key is asked for while requests with it wait on the same node. Which of those
    /// that wait for one fetch goes on first is drawn by tokio, and not from the seed, so only
    /// requests that were sent together may wait together, or the seed would not repeat.
    pub(crate) overlaps: bool,
    /// The key that most requests are with. If it is one with a limit or uses, few changes are
    /// of it: a key that was revoked spends nothing.
    pub(crate) hot: usize,
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
            let more = match self.rng.below(120) {
                0..10 => 200,
                10..12 => 1_500,
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

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
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
                    0 => LEAP_MILLIS * (1 + self.rng.below(6) as i64),
                    1 => -LEAP_MILLIS * (1 + self.rng.below(6) as i64),
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
            2 => -LEAP_MILLIS,
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
}
