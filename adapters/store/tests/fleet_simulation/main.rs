//! A fleet in one thread: two to four authenticators over one store, whose network, clocks and
//! processes fail in every way that a seed draws. Each promise of the specification is judged
//! from outside, for many seeds, and each is seen to fail when the fleet is broken on purpose.
//!
//! The protocol's code is the real one. Time is tokio's, which stands still while there is work,
//! so a schedule of seconds takes a millisecond or so, and the same seed gives the same run.
//!
//! `KEYSTILE_FLEET_SCHEDULES` sets how many there are, `KEYSTILE_FLEET_SEED` the first seed. A
//! failure prints its seed, and the steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "tests"
)]

mod clocks;
mod database;
mod fault;
mod healing;
mod history;
mod limits_server;
mod mode;
mod network;
mod node;
mod oracle;
mod remote_store;
mod schedule;
#[path = "../../../../tests/common/test_rng.rs"]
mod test_rng;
mod verbs;

use std::time::Instant;

use crate::fault::Fault;
use crate::history::{Answered, History};
use crate::oracle::{Invariant, Violation, judge};
use crate::schedule::World;

/// Schedules of an ordinary run, and of the named command.
const SCHEDULES: u64 = 3_000;
const MANY_SCHEDULES: u64 = 1_000_000;
/// Seeds that are run twice.
const REPEATED: u64 = 200;
/// Seeds within which a broken fleet has to be found.
const SEEDS_MAX: u64 = 2_000;

struct Run {
    verdict: Result<(), Violation>,
    steps: Vec<String>,
    /// What happened, in an order that does not depend on which of two equal requests was
    /// answered first.
    trace: String,
    allowed: u64,
    asked: u64,
    /// The order of some tasks was drawn by tokio, and not from the seed.
    draws_lots: bool,
}

fn run(seed: u64, fault: Fault, prints: bool) -> Run {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed, fault, prints);
        world.run().await;
        let end = world.heal().await;
        let history = world.fleet.history.lock();
        let written = world.fleet.database.written();
        let verdict = judge(&history, &written, world.fleet.counting, &end);
        let trace = if prints {
            trace(&history)
        } else {
            String::new()
        };
        let has_leases = world.fleet.counting.length() > 0;
        let is_allowed = |asked: &&history::Asked| asked.answer == Answered::Allowed;
        Run {
            draws_lots: world.overlaps || has_leases && history.has_late_bursts(),
            verdict,
            steps: world.steps.take().unwrap_or_default(),
            trace,
            allowed: history.asked.iter().filter(is_allowed).count() as u64,
            asked: history.asked.len() as u64,
        }
    })
}

/// Requests that were sent together are alike, whichever of them is answered first.
fn trace(history: &History) -> String {
    let mut lines: Vec<_> = history
        .asked
        .iter()
        .map(|asked| format!("{asked:?}"))
        .collect();
    lines.extend(history.verbs.iter().map(|verb| format!("{verb:?}")));
    lines.sort_unstable();
    lines.join("\n")
}

fn set(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let parsed = value.parse();
    Some(parsed.unwrap_or_else(|_| panic!("{name} must be a number")))
}

fn run_all(ordinary: u64) {
    let first = set("KEYSTILE_FLEET_SEED").unwrap_or(1);
    let count = set("KEYSTILE_FLEET_SCHEDULES").unwrap_or(ordinary);
    let started = Instant::now();
    let (mut asked, mut allowed) = (0, 0);
    for seed in first..first + count {
        let done = run(seed, Fault::None, false);
        if let Err(violation) = done.verdict {
            let again = run(seed, Fault::None, true);
            panic!(
                "KEYSTILE_FLEET_SEED={seed} breaks a promise, {violation}\n{}",
                again.steps.join("\n")
            );
        }
        asked += done.asked;
        allowed += done.allowed;
    }
    println!(
        "seeds {first} to {}: {asked} requests, {allowed} allowed, in {:.1} s",
        first + count - 1,
        started.elapsed().as_secs_f64()
    );
    assert!(allowed > asked / 10, "most schedules say nothing");
}

#[test]
fn no_schedule_breaks_a_promise() {
    run_all(SCHEDULES);
}

#[test]
#[ignore = "it takes long; CONTRIBUTING.md says when to run it"]
fn none_of_many_schedules_breaks_a_promise() {
    run_all(MANY_SCHEDULES);
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    let (mut compared, mut differing) = (0, 0);
    for seed in 1..=REPEATED {
        let (one, other) = (run(seed, Fault::None, true), run(seed, Fault::None, true));
        if one.draws_lots || other.draws_lots {
            continue;
        }
        compared += 1;
        assert_eq!(one.steps, other.steps, "seed {seed}");
        differing += u64::from(one.trace != other.trace);
    }
    println!("{compared} of {REPEATED} seeds compared, {differing} differ");
    assert!(compared > REPEATED / 2, "too few are repeatable");
    // Tokio draws lots where two tasks can go on at the same instant, and not each such place is
    // known here.
    assert!(
        differing <= compared / 50,
        "{differing} of {compared} differ"
    );
    let first = run(1, Fault::None, true);
    assert_ne!(first.trace, run(2, Fault::None, true).trace);
}

/// The first seed that finds the fault.
fn finds(fault: Fault, invariant: Invariant) {
    for seed in 1..=SEEDS_MAX {
        if let Err(violation) = run(seed, fault, false).verdict
            && violation.invariant == invariant
        {
            return println!("{fault:?}: seed {seed}, {violation}");
        }
    }
    panic!("{fault:?} is not found within {SEEDS_MAX} seeds");
}

#[test]
fn a_lease_whose_clock_stands_still_is_found() {
    finds(Fault::LeaseStandsStill, Invariant::Revocation);
}

#[test]
fn a_verb_that_is_not_in_force_in_its_own_process_is_found() {
    finds(Fault::VerbsBypassTheProcess, Invariant::Revocation);
}

#[test]
fn limits_that_let_twice_as_many_pass_are_found() {
    finds(Fault::LimitsAreDoubled, Invariant::Limit);
}

#[test]
fn a_server_of_limits_that_gives_twice_is_found() {
    finds(Fault::LimitsGiveTwice, Invariant::Limit);
}

#[test]
fn a_server_of_limits_that_forgets_is_found() {
    finds(Fault::LimitsForget, Invariant::Limit);
}

#[test]
fn tokens_that_are_used_for_too_long_are_found() {
    finds(Fault::LeasesAreLonger, Invariant::Limit);
}

#[test]
fn a_process_that_takes_the_whole_limit_for_its_share_is_found() {
    finds(Fault::SharesAreWhole, Invariant::Limit);
}

#[test]
fn uses_that_each_process_counts_for_itself_are_found() {
    finds(Fault::UsesPerProcess, Invariant::Uses);
}

#[test]
fn a_store_that_drops_a_commit_is_found() {
    finds(Fault::DropsCommits, Invariant::Kept);
}

#[test]
fn a_request_that_waits_for_ever_is_found() {
    finds(Fault::WaitsForEver, Invariant::Lives);
}
