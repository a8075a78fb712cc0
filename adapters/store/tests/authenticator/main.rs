//! The authenticator over stores that wait, fail, lag and change under it.
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

mod acting;
mod after_a_use;
mod changes;
mod claims;
mod damaged;
mod explain;
mod fetches;
mod lease;
mod lifecycle;
mod limits;
mod scripted;
mod shared_limits;
mod signals;
mod try_check;
mod uses;
mod vectors;
