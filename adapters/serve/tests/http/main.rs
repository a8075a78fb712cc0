//! The service over real sockets.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "what fails in a helper fails its test"
)]

mod admin;
mod audit;
mod book;
mod change;
mod document;
#[path = "../../../tower/tests/shapes/driver.rs"]
mod driver;
mod explain;
mod gateway_answers;
mod gateways;
mod grants;
mod head;
mod invalid_keys;
#[path = "../../../tower/tests/http/keys.rs"]
mod keys;
mod lifetimes;
mod limits;
mod lists;
mod once;
mod service;
mod shapes;
mod sources;
mod stopped;
mod templates;
mod verify;
