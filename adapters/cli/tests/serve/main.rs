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
#[cfg(feature = "postgres")]
mod fleet;
mod heard;
mod killed;
mod life;
mod limits;
mod peppers;
#[cfg(feature = "postgres")]
#[path = "../gateways/process.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod process;
#[cfg(feature = "postgres")]
#[path = "../../../store/tests/schedules/proxy.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod proxy;
#[cfg(all(feature = "postgres", feature = "redis"))]
#[path = "../../../redis/tests/redis/server.rs"]
#[allow(
    dead_code,
    unexpected_cfgs,
    reason = "other tests use more of it, with features of their crate"
)]
mod redis_server;
mod restored;
#[cfg(feature = "postgres")]
#[path = "../../../store/tests/postgres/server.rs"]
mod server;
mod serving;
