//! `keystile serve` as users run it: started, called over HTTP, stopped and killed.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "what fails in a helper fails its test"
)]

mod away;
mod beside;
#[path = "../../../store/tests/heard/cases.rs"]
mod cases;
mod damaged;
mod first_key;
mod heard;
mod killed;
mod life;
mod limits;
mod peppers;
mod restored;
#[cfg(feature = "postgres")]
#[path = "../../../store/tests/postgres/server.rs"]
mod server;
mod serving;
