//! The store on a real PostgreSQL server, which is started for these tests and ends with
//! them. If PostgreSQL is not installed, they are skipped and print that.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    reason = "tests and their fixtures"
)]

mod adopt;
mod adopt_large;
mod adopt_since;
mod adoption;
#[path = "../sqlite/alternating.rs"]
mod alternating;
mod beside;
#[path = "../heard/cases.rs"]
mod cases;
mod conformance;
#[path = "../lists/cost.rs"]
mod cost;
mod crash;
mod damage;
mod database;
mod heard;
#[path = "../heard/heard.rs"]
mod heard_keys;
mod hold_digests;
mod import_beside;
mod keys;
mod limits;
mod lists;
#[path = "../damage/one_row.rs"]
mod one_row;
mod open;
mod order;
mod own_transaction;
#[path = "../lists/random.rs"]
mod random;
mod schema;
#[path = "../lists/selected.rs"]
mod selected;
mod server;
mod shared_limits;
mod subscribe;
#[cfg(feature = "postgres-tls")]
mod tls;
mod together;
mod trouble;
