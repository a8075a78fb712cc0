//! Random schedules of three processes on one server: they are cut off from it, stopped,
//! continued and killed, while keys are revoked. No request that is sent later than the
//! bound after a revocation was committed is allowed.
//!
//! `KEYSTILE_SCHEDULES=1000` runs that many of them, and `KEYSTILE_SCHEDULES_FROM=SEED`
//! begins with another seed than 1.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    dead_code,
    reason = "tests, and fixtures of other tests"
)]

#[path = "../postgres/database.rs"]
mod database;
#[path = "../postgres/keys.rs"]
mod keys;
mod process;
mod proxy;
#[path = "../postgres/server.rs"]
mod server;

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile::{Issued, UnixMillis};
use keystile_store::{PostgresStore, revoke};
use tokio::time::sleep;

use crate::database::Database;
use crate::keys::{kept, request};

use self::process::{Process, Sent};
use self::proxy::{Link, Proxy};

/// The bound of the processes; they read the changes four times within it.
const BOUND: Duration = Duration::from_secs(1);
/// How long a test waits for what has to come.
const LIMIT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(25);
/// The ticks of a schedule; keys are revoked in the first third.
const TICKS: u64 = 110;
const PROCESSES: usize = 3;
const KEYS: usize = 3;
/// Schedules that run at once; each of these groups has its own database and processes.
const GROUPS: u64 = 5;

/// Random numbers from a seed: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// A process, and its way to the server.
struct Node {
    proxy: Proxy,
    process: Process,
}

/// Three processes on one database, and the store that keys are revoked through.
struct Group {
    _database: Database,
    store: PostgresStore,
    nodes: Vec<Node>,
}

impl Group {
    async fn new(bound: Duration) -> Option<Self> {
        let database = Database::new().await?;
        let store = database.store().await;
        let mut nodes = Vec::new();
        for _ in 0..PROCESSES {
            let proxy = Proxy::start(&database.url).await;
            let process = Process::start(&proxy.url(), bound);
            nodes.push(Node { proxy, process });
        }
        Some(Self {
            _database: database,
            store,
            nodes,
        })
    }

    /// All processes allow all keys, so that they are cached.
    async fn warm(&mut self, keys: &[Issued]) {
        let deadline = Instant::now() + LIMIT;
        for node in &mut self.nodes {
            for key in keys {
                while !node.process.ask(key).await {
                    assert!(Instant::now() < deadline, "a key is never allowed");
                    sleep(TICK).await;
                }
            }
        }
    }
}

/// What became of the requests of a schedule.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Allowed after the revocation was committed, and sent within the bound.
    allowed_within: usize,
    denied_after: usize,
    allowed_after: usize,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.allowed_within += other.allowed_within;
        self.denied_after += other.denied_after;
        self.allowed_after += other.allowed_after;
    }

    /// Judges requests by when they were sent, and when the revocation had been committed.
    fn of(sent: &[Sent], committed: &[Option<Instant>]) -> Self {
        let mut outcome = Self::default();
        for request in sent {
            let Some(committed) = committed[request.key] else {
                continue;
            };
            let is_late = request.at > committed + BOUND;
            match request.allowed {
                Some(true) if is_late => outcome.allowed_after += 1,
                Some(true) if request.at > committed => outcome.allowed_within += 1,
                Some(false) if is_late => outcome.denied_after += 1,
                _ => {}
            }
        }
        outcome
    }
}

/// Runs one schedule.
async fn run(group: &mut Group, seed: u64) -> Outcome {
    let mut random = Random(seed);
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(kept(&group.store, &request()).await);
    }
    group.warm(&keys).await;
    let revoked_at: Vec<u64> = (0..KEYS).map(|_| random.next() % (TICKS / 3)).collect();
    let mut committed = vec![None; KEYS];
    for tick in 0..TICKS {
        for node in &mut group.nodes {
            match random.next() % 120 {
                0..8 => node.proxy.set(Link::Stalled),
                8..14 => node.proxy.set(Link::Closed),
                14..20 => node.proxy.set(Link::Open),
                20..26 => node.process.stop(),
                26..34 => node.process.go_on(),
                34 => node.process.restart(),
                _ => {}
            }
            let key = random.below(KEYS);
            node.process.send(key, &keys[key]);
        }
        for key in 0..KEYS {
            if revoked_at[key] == tick {
                let (id, now) = (&keys[key].record.id, UnixMillis::now().unwrap());
                revoke(&group.store, id, "leaked", now).await.unwrap();
                committed[key] = Some(Instant::now());
            }
        }
        sleep(TICK).await;
    }
    let mut outcome = Outcome::default();
    for node in &mut group.nodes {
        node.proxy.set(Link::Open);
        node.process.go_on();
        outcome.add(Outcome::of(&node.process.answered().await, &committed));
    }
    outcome
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_after_the_bound_is_allowed() {
    let count = setting("KEYSTILE_SCHEDULES", 25);
    let first = setting("KEYSTILE_SCHEDULES_FROM", 1);
    println!("schedules {first} to {}", first + count - 1);
    let mut groups = tokio::task::JoinSet::new();
    for number in 0..GROUPS.min(count) {
        groups.spawn(async move {
            let mut group = Group::new(BOUND).await?;
            let mut total = Outcome::default();
            for seed in (first + number..first + count).step_by(usize::try_from(GROUPS).unwrap()) {
                let outcome = run(&mut group, seed).await;
                assert_eq!(outcome.allowed_after, 0, "schedule {seed}: {outcome:?}");
                total.add(outcome);
            }
            Some(total)
        });
    }
    let mut total = Outcome::default();
    while let Some(done) = groups.join_next().await {
        let Some(outcome) = done.unwrap() else { return };
        total.add(outcome);
    }
    println!("{total:?}");
    assert!(total.denied_after > 0, "requests were sent after the bound");
}

/// The control: without the bound, a process that is cut off allows the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_bound_a_process_that_is_cut_off_allows_a_revoked_key() {
    for (bound, is_allowed) in [(BOUND, false), (Duration::from_hours(1), true)] {
        let Some(mut group) = Group::new(bound).await else {
            return;
        };
        let keys = [kept(&group.store, &request()).await];
        group.warm(&keys).await;
        // A process that reads only now that the key was issued caches it again.
        sleep(BOUND).await;
        group.warm(&keys).await;
        let store = Arc::new(group.store.clone());
        let node = &mut group.nodes[0];
        node.proxy.set(Link::Stalled);
        let (id, now) = (&keys[0].record.id, UnixMillis::now().unwrap());
        revoke(&*store, id, "leaked", now).await.unwrap();
        sleep(BOUND + BOUND / 10).await;
        let allowed = node.process.ask(&keys[0]).await;
        assert_eq!(allowed, is_allowed, "with the bound {bound:?}");
    }
}
