//! The Rust call that benchmarks compare with the C call. Never part of a released
//! library.

use core::ffi::c_char;
use core::hint::black_box;

use keystile::{Check, Request};

use crate::boundary::{bytes, guard_or, text};
use crate::keyring::keystile_keyring;
use crate::requirement::keystile_requirement;
use crate::text::instant;

/// Checks one key a given number of times, as a Rust program would, and counts the
/// allows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_bench_warm_allow(
    keyring: Option<&keystile_keyring>,
    key: *const c_char,
    key_len: usize,
    requirement: Option<&keystile_requirement>,
    path: *const c_char,
    path_len: usize,
    now: u64,
    turns: u64,
) -> u64 {
    guard_or(0, || {
        let (keyring, requirement) = (keyring?.0.core().ok()?, &requirement?.0);
        let key: &[u8] = bytes!(key, key_len).ok()?;
        let (path, now) = (text!(path, path_len).ok()?, instant(now).ok()?);
        let mut allowed = 0_u64;
        for _ in 0..turns {
            let request = Request::new()
                .requires(black_box(requirement))
                .endpoint("GET", black_box(path));
            let check = keyring.check(black_box(key), &request, black_box(now));
            let is_allow =
                matches!(black_box(&check), Check::Decided(decision, _) if decision.is_allow());
            allowed = allowed.saturating_add(u64::from(is_allow));
        }
        Some(allowed)
    })
}
