//! The layer in front of an axum app, through real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "../shapes/driver.rs"]
mod driver;
mod keys;
mod service;

mod attacks;
mod damaged;
mod invalid_keys;
mod layer;
mod no_layer;
mod shapes;
mod sources;
