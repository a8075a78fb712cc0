//! Limits and wake-ups on real Redis servers, which these tests start.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "what fails in a helper fails its test"
)]

#[cfg(all(feature = "cluster", feature = "sentinel"))]
mod cluster;
mod counting;
mod entry;
mod script;
mod server;
mod trouble;
mod wake;

use keystile::{KeyId, Millis, RateLimit};
use keystile_redis::{RedisLimits, RedisOptions};
use keystile_store::{Limits, StoreError, Take, Taken};
use server::Server;

fn lineage() -> KeyId {
    "1AbCdEfGhIjKlMnO".parse().unwrap()
}

/// So slow that nothing becomes free during a test.
fn daily(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::from_days(1)).unwrap()
}

fn options(server: &Server) -> RedisOptions {
    RedisOptions::new(&server.url()).unwrap()
}

async fn connect(server: &Server) -> RedisLimits {
    RedisLimits::connect(options(server)).await.unwrap()
}

async fn take(limits: &RedisLimits, limit: RateLimit, tokens: u32) -> Result<Taken, StoreError> {
    limits.take(&Take::new(lineage(), limit, tokens)).await
}
