//! The program as a user runs it: arguments, streams, exit codes, files.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "what fails in a helper fails its test"
)]

mod audit;
mod backup;
mod bad_input;
mod batch;
mod canary;
mod change;
mod damaged;
mod derived_pages;
mod explain;
mod files;
mod json;
mod keystile;
mod life;
mod lists;
mod migrate;
mod once;
mod pages;
mod parallel;
mod portable;
#[cfg(all(unix, feature = "postgres"))]
mod postgres;
mod rules;
#[cfg(all(unix, feature = "postgres"))]
#[path = "../../../store/tests/postgres/server.rs"]
mod server;
mod templates;
