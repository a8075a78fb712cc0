//! The same check among a thousand keys and among ten million.
//!
//! Keys are presented in random order. Their texts are copied to a small buffer before
//! the clock starts, since the bytes of a header that was just read from a socket are in
//! the processor's cache. The keyring's entry for the key is not, if there are many keys.

use core::cell::OnceCell;
use core::hint::black_box;
use core::time::Duration;
use std::fs;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion};

use super::is_trial;
use super::service::{BenchRng, KEY_BYTES, KeyText, Service};

const SIZES: [usize; 4] = [1_000, 100_000, 1_000_000, 10_000_000];
/// The most texts that are presented; they are spread over all keys.
const PRESENTED_MAX: usize = 1_000_000;
/// Checks between two readings of the clock.
const CHUNK: usize = 128;
/// Lowers the largest number of keys.
const KEYS_MAX: &str = "KEYSTILE_BENCH_KEYS_MAX";

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "scale");
    let keys_max = if is_trial() {
        SIZES[0]
    } else {
        let given = std::env::var(KEYS_MAX).ok();
        given.map_or(usize::MAX, |number| number.parse().expect(KEYS_MAX))
    };
    // All of them live to the end: reused memory would not be counted.
    let filled = [const { OnceCell::new() }; SIZES.len()];
    for (size, filled) in SIZES.into_iter().zip(&filled) {
        if size > keys_max && !is_trial() {
            continue;
        }
        group.bench_function(BenchmarkId::new("warm_allow", size), |bench| {
            let Filled { service, texts } = filled.get_or_init(|| Filled::with(size.min(keys_max)));
            let mut turns = texts.iter().cycle();
            let mut chunk = [[0; KEY_BYTES]; CHUNK];
            bench.iter_custom(|checks| {
                let mut left = usize::try_from(checks).unwrap();
                let mut spent = Duration::ZERO;
                while left > 0 {
                    let now = left.min(CHUNK);
                    for (place, text) in chunk.iter_mut().take(now).zip(&mut turns) {
                        *place = *text;
                    }
                    let start = Instant::now();
                    for text in chunk.iter().take(now) {
                        assert!(service.admits(black_box(text)));
                    }
                    spent += start.elapsed();
                    left -= now;
                }
                spent
            });
        });
    }
    group.finish();
}

/// A service whose keyring is full, and the keys that are presented to it.
struct Filled {
    service: Service,
    texts: Vec<KeyText>,
}

impl Filled {
    fn with(keys: usize) -> Self {
        let one_in = keys.div_ceil(PRESENTED_MAX);
        // Filled with ones, so that the pages of the texts are resident before memory is
        // measured.
        let mut texts = vec![[1; KEY_BYTES]; keys.div_ceil(one_in)];
        let before = resident_bytes();
        let service = Service::with_capacity(keys);
        for number in 0..keys {
            let (text, _) = service.issue_cached(&service.typical(number));
            if number % one_in == 0 {
                texts[number / one_in] = text;
            }
        }
        assert_eq!(service.keyring.stats().entries, keys);
        if let (false, Some(before), Some(after)) = (is_trial(), before, resident_bytes()) {
            // `cargo xtask ratios` reads this line.
            let bytes = after.saturating_sub(before).div_ceil(keys);
            println!("bytes per key among {keys}: {bytes}");
        }
        BenchRng::new(1).shuffle(&mut texts);
        Self { service, texts }
    }
}

/// The resident memory of this process, if the system reports it. It includes everything
/// that a key costs, with the allocator's overhead and the free slots of a map.
fn resident_bytes() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1_024)
}
