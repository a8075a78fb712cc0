//! The core as its users see it. Tests that need an allocator or a build of their own are
//! next to this folder.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where the product must not"
)]

#[path = "../common/common.rs"]
mod common;

mod attacks;
mod change;
mod credential_oracle;
mod delegate_subset;
mod endpoint_exhaustive;
mod explain;
#[cfg(all(feature = "basic", feature = "serde"))]
mod fuzz_corpus;
mod key_text;
#[cfg(feature = "keyring")]
mod keyring;
mod lifetimes;
mod limit_brute_force;
mod path_oracle;
mod permission_oracle;
mod plan_over_time;
mod promises;
mod promises_in_and_out;
mod readme;
mod requirement_oracle;
mod rotation_records;
mod rotation_states;
mod send_sync;
#[cfg(feature = "serde")]
mod serde_strict;
#[cfg(all(feature = "serde", feature = "basic", feature = "getrandom"))]
mod vectors;
