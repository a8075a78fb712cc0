//! Whether a second thread checks as many keys as the first.
//!
//! The threads run in step: they wait for each other before each short chunk of checks,
//! and the slower one determines the time of the chunk. A sample is the median chunk
//! times the number of chunks, so a thread that the system suspends for a while spoils
//! one chunk, not the sample. There is no rate limit: to admit no more than the limit,
//! all threads that use one key would have to update the same word.

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};

use super::service::{BenchRng, KeyText, Service};

/// Keys of the bench with many keys.
const KEYS: usize = 10_000;
/// Checks of each thread between two barriers.
const CHUNK: u64 = 1_024;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "threads");
    group.sample_size(100);
    for (name, keys) in [("one_hot_key", 1), ("many_keys", KEYS)] {
        let service = Service::with_capacity(2 * KEYS);
        let texts: Vec<KeyText> = (0..keys)
            .map(|number| service.issue_cached(&service.unlimited(number)).0)
            .collect();
        for threads in [1, 2] {
            group.throughput(Throughput::Elements(u64::try_from(threads).unwrap()));
            group.bench_function(BenchmarkId::new(name, threads), |bench| {
                bench.iter_custom(|checks| in_step(&service, &texts, threads, checks));
            });
        }
    }
    group.finish();
}

/// The time that each thread takes for `checks` checks.
fn in_step(service: &Service, texts: &[KeyText], threads: usize, checks: u64) -> Duration {
    let chunks = checks.div_ceil(CHUNK);
    let meeting = Meeting::of(threads);
    let mut median = Duration::ZERO;
    std::thread::scope(|scope| {
        for number in 1..threads {
            let (meeting, texts) = (&meeting, shuffled(texts, number));
            scope.spawn(move || walk(service, &texts, meeting, chunks));
        }
        let mut spent = walk(service, &shuffled(texts, 0), &meeting, chunks);
        spent.sort_unstable();
        median = spent[spent.len() / 2];
    });
    let seconds = median.as_secs_f64() * checks as f64 / CHUNK as f64;
    Duration::from_secs_f64(seconds)
}

/// Checks chunk by chunk, in step with the other threads; returns the time of each chunk.
fn walk(service: &Service, texts: &[KeyText], meeting: &Meeting, chunks: u64) -> Vec<Duration> {
    let mut turns = texts.iter().cycle();
    let chunk = |_| {
        meeting.wait();
        let start = Instant::now();
        for text in turns.by_ref().take(usize::try_from(CHUNK).unwrap()) {
            assert!(service.admits(black_box(text)));
        }
        meeting.wait();
        start.elapsed()
    };
    (0..chunks).map(chunk).collect()
}

fn shuffled(texts: &[KeyText], number: usize) -> Vec<KeyText> {
    let mut texts = texts.to_vec();
    BenchRng::new(u64::try_from(number).unwrap()).shuffle(&mut texts);
    texts
}

/// A barrier that spins: waking a thread takes longer than a chunk.
struct Meeting {
    threads: usize,
    arrived: AtomicUsize,
    round: AtomicU64,
}

impl Meeting {
    const fn of(threads: usize) -> Self {
        Self {
            threads,
            arrived: AtomicUsize::new(0),
            round: AtomicU64::new(0),
        }
    }

    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Release);
            self.round.store(round + 1, Ordering::Release);
            return;
        }
        let mut looks = 0u32;
        while self.round.load(Ordering::Acquire) == round {
            core::hint::spin_loop();
            looks += 1;
            if looks.is_multiple_of(1_000) {
                // The other thread may be waiting for this very processor.
                std::thread::yield_now();
            }
        }
    }
}
