//! The whole life of keys, by random steps: each answer of `check()` and of two processes is
//! compared with what the specification allows.
//!
//! `KEYSTILE_LIFE_STEPS` sets how many steps there are in all, `KEYSTILE_LIFE_SEED` the seed of
//! the first episode. A failure prints the seed of its episode and the last steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "tests"
)]

mod answer;
mod audit;
mod history;
mod meter;
mod oracle;
mod rights;
mod steps;
#[path = "../../../../tests/common/test_rng.rs"]
mod test_rng;
mod text;
mod world;

use std::sync::Arc;
use std::time::Instant;

use keystile_store::{MemoryStore, SqliteStore, Store};

use crate::world::World;

/// The steps of an ordinary run, of which a tenth are over SQLite.
const STEPS: u64 = 100_000;
/// The steps over one store, from an empty one on.
const EPISODE_STEPS: u64 = 2_000;

fn set(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a number")),
    )
}

/// Runs episodes with so many steps in all.
fn run<S: Store + 'static>(
    name: &str,
    steps: u64,
    mut open: impl AsyncFnMut() -> (Arc<S>, Option<rusqlite::Connection>),
) {
    let started = Instant::now();
    let first = set("KEYSTILE_LIFE_SEED").unwrap_or(1);
    let episodes = steps.div_ceil(EPISODE_STEPS);
    for seed in first..first + episodes {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (store, sql) = open().await;
            let mut world = World::new(store, sql, seed);
            for step in 0..EPISODE_STEPS {
                if let Err(difference) = world.next().await {
                    let steps: Vec<_> = world.steps.into();
                    panic!(
                        "{name}, KEYSTILE_LIFE_SEED={seed}, step {step}: {difference}\nafter\n{}",
                        steps.join("\n")
                    );
                }
            }
        });
    }
    println!(
        "{name}: seeds {first} to {}, {} steps in {:.1} s",
        first + episodes - 1,
        episodes * EPISODE_STEPS,
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn each_answer_over_the_store_in_memory_is_one_that_the_oracle_expects() {
    let steps = set("KEYSTILE_LIFE_STEPS").unwrap_or(STEPS);
    run("memory", steps - steps / 10, async || {
        (Arc::new(MemoryStore::new()), None)
    });
}

#[test]
fn each_answer_over_sqlite_is_one_that_the_oracle_expects() {
    let steps = set("KEYSTILE_LIFE_STEPS").unwrap_or(STEPS);
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    run("SQLite", steps / 10, async || {
        files += 1;
        let path = folder.path().join(format!("{files}.db"));
        let store = SqliteStore::open(&path).unwrap();
        store.migrate().await.unwrap();
        let sql = rusqlite::Connection::open(&path).unwrap();
        sql.busy_timeout(core::time::Duration::from_secs(60))
            .unwrap();
        (Arc::new(store), Some(sql))
    });
}
