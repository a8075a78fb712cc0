//! The C ABI of keystile. What a C programmer reads is `include/keystile.h`, which is made
//! from this crate; the chapter "API conventions" of `README.md` says the rest.
//!
//! Each function translates and never decides: it holds its arguments against NULL, calls
//! the core once and writes what came of it. All that is unsafe stands in `boundary.rs`.

#![allow(
    non_camel_case_types,
    reason = "types are named as C programs know them"
)]
#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "their layout is the ABI"
)]
#![allow(
    clippy::missing_safety_doc,
    clippy::missing_errors_doc,
    reason = "docs become the header, whose opening chapter holds for every function"
)]

// In the order in which the header tells of them; blank lines keep it so.
mod boundary;

// What every caller needs first.
pub mod version;

pub mod status;

pub mod status_words;

pub mod text;

// What a key is.
pub mod format;

pub mod pepper;

pub mod digest;

pub mod key;

// What a key may do.
pub mod permission;

pub mod requirement;

pub mod endpoint;

pub mod network;

pub mod limit;

pub mod template;

// What a store keeps.
pub mod record_parts;

pub mod record;

pub mod change;

// What becomes of a key.
pub mod issue;

pub mod lifecycle;

pub mod rotate;

pub mod plan;

// May this request go on?
pub mod credential;

pub mod request;

pub mod decision;

pub mod verify;

pub mod keyring;

pub mod uses;

pub mod response;

#[cfg(feature = "panic-injection")]
pub mod injection;

#[cfg(feature = "comparison")]
pub mod comparison;
