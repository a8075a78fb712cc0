//! F10: freed memory contains no key. An allocator searches each block that is freed.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unsafe_code,
    reason = "an allocator is unsafe by its nature, and a test fails where the product must not"
)]

#[path = "common/common.rs"]
mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::alloc::System;

use crate::common::service::{at, client};
use crate::common::test_rng::TestRng;
use keystile::{KeyFormat, PepperRing, RotationPolicy, issue, rotate};

/// The system's allocator, which searches freed blocks for eight bytes.
struct Searching;

/// The bytes to search for; zero turns the search off.
static WANTED: AtomicU64 = AtomicU64::new(0);
static FOUND: AtomicU32 = AtomicU32::new(0);

// SAFETY: each call is passed on unchanged. A block is read before it is freed, while it
// still belongs to the caller.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here. The
        // block is zeroed, so that all of it may be read later.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let wanted = WANTED.load(Ordering::Relaxed);
        if wanted != 0 {
            // SAFETY: the block is the caller's, `size` bytes long, and was written in
            // full by `alloc`; no one else holds it, since it is being freed.
            let block = unsafe { core::slice::from_raw_parts(at, layout.size()) };
            if block.windows(8).any(|eight| eight == wanted.to_ne_bytes()) {
                FOUND.fetch_add(1, Ordering::Relaxed);
            }
        }
        // SAFETY: everything that this allocator returned came from the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static SEARCHING: Searching = Searching;

/// In how many freed blocks `work` leaves these bytes.
fn left_behind(wanted: &str, work: impl FnOnce()) -> u32 {
    let eight = wanted.as_bytes().first_chunk::<8>().unwrap();
    FOUND.store(0, Ordering::Relaxed);
    WANTED.store(u64::from_ne_bytes(*eight), Ordering::Relaxed);
    work();
    WANTED.store(0, Ordering::Relaxed);
    FOUND.load(Ordering::Relaxed)
}

// A single test, so that no other thread frees memory meanwhile.
#[test]
fn f10_no_freed_block_holds_a_key() {
    let none = PepperRing::none();
    let opaque = KeyFormat::opaque("dt").unwrap();
    let formats = [
        KeyFormat::structured("acme").unwrap(),
        opaque.clone(),
        opaque.with_random_bytes(64).unwrap(),
    ];
    for format in formats {
        let issued = || issue(&format, &none, &client(), &mut TestRng::seeded(7), at(0)).unwrap();
        // The same seed gives the same key, so its text is known before the search.
        let known = issued().key.expose().to_string();
        // From the middle and from the end; of an opaque key, everything but the part
        // that may be shown.
        for start in [known.len() - 40, known.len() - 20, known.len() - 8] {
            let part = &known[start..start + 8];
            assert_eq!(
                left_behind(part, || drop(issued())),
                0,
                "issuing leaves {part}"
            );
            let kept = left_behind(part, || {
                let issued = issued();
                assert!(issued.key.expose().contains(part));
                let copy = issued.key.expose().to_string();
                drop((copy, issued));
            });
            assert_eq!(kept, 1, "the control: a copy that is not wiped is found");
        }

        let record = issued().record;
        let rotated = || {
            let (policy, rng) = (RotationPolicy::default(), &mut TestRng::seeded(8));
            rotate(&record, &[], &policy, &format, &none, rng, at(1)).unwrap()
        };
        let known = rotated().key.expose().to_string();
        let part = &known[known.len() - 30..known.len() - 22];
        assert_eq!(
            left_behind(part, || drop(rotated())),
            0,
            "rotating leaves {part}"
        );
    }
}
