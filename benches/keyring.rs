//! The cost of a check by the keyring, compared with what people use instead.
//!
//! `cargo bench --features keyring --bench keyring`, or `cargo xtask ratios` for a table
//! of ratios. Each bench asserts the decision that it measures. A sample takes a
//! millisecond or two, and there are many: other work of the machine affects only a few
//! of them, and the median is what counts.
//!
//! - `hot_path/…`: one thread, 1,000 keys in turn.
//! - `scale/…`: up to ten million keys, and the memory of each. The largest takes 2.5 GB
//!   and a minute to fill; `KEYSTILE_BENCH_KEYS_MAX` lowers the number.
//! - `threads/…`: two threads on one key, and on many.
//! - `peers/…` and `issue/…`: the same work done by other crates.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark stops where what it is made of is not as it should be"
)]

#[path = "keyring/express.rs"]
mod express;
#[path = "keyring/hot_path.rs"]
mod hot_path;
#[path = "keyring/issuing.rs"]
mod issuing;
#[path = "keyring/peers.rs"]
mod peers;
#[path = "keyring/scale.rs"]
mod scale;
#[path = "keyring/service.rs"]
mod service;
#[path = "keyring/threads.rs"]
mod threads;

use core::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};

/// A group of short samples.
fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(1_000)
        .nresamples(2_000)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500));
    group
}

/// Whether each bench runs only once, as in `cargo test --benches`.
fn is_trial() -> bool {
    let asked = |word: &str| std::env::args().any(|argument| argument == word);
    asked("--test") || !asked("--bench")
}

// Benches that grow memory come first, before others have freed any.
criterion_group!(
    benches,
    scale::bench,
    hot_path::bench,
    peers::bench,
    issuing::bench,
    threads::bench
);
criterion_main!(benches);
