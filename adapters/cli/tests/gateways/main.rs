//! The examples for gateways, run by the gateways that they are for: `keystile serve`, each
//! gateway in front of three services that read headers differently, and requests that no
//! honest client sends.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "what fails in a helper fails its test"
)]

mod abilities;
mod answers;
mod client;
mod controls;
mod encoded;
mod gateway;
mod h2;
mod hpack;
mod ingress;
mod matrix;
mod options;
mod oracle;
mod preflights;
mod process;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../serve/serving.rs"]
mod serving;
mod setup;
mod shapes;
mod spellings;
mod statuses;
mod tokens;
mod upstream;
