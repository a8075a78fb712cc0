//! The C ABI of keystile. C programs read `include/keystile.h`, which is generated from
//! this crate; its chapter CONVENTIONS holds for every function.
//!
//! Each function translates and never decides: it checks its arguments for NULL, calls
//! the core once and writes the outputs. All unsafe code is in `boundary.rs` and
//! its folder.

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

// In the order of the header; blank lines keep rustfmt from sorting them.
mod boundary;

mod flags;

mod record_json;

// What every caller needs first.
pub mod version;

pub mod status;

pub mod status_words;

pub mod text;

pub mod error;

// What a key is.
pub mod format;

pub mod pepper;

pub mod digest;

pub mod key;

// What a key may do.
pub mod permission;

pub mod requirement;

pub mod endpoint;

pub mod never_matches;

pub mod network;

pub mod limit;

pub mod template;

// What a store holds.
pub mod record_parts;

pub mod record;

pub mod change;

pub mod field_change;

pub mod actor;

// The life of a key.
pub mod lifetime;

pub mod issue;

pub mod lifecycle;

pub mod key_change;

pub mod rotate;

pub mod plan;

// May this request go on?
pub mod credential;

pub mod request;

pub mod decision;

pub mod verify;

pub mod explain;

pub mod keyring_options;

pub mod keyring;

pub mod decide;

pub mod uses;

pub mod tokens;

pub mod response;

pub mod names;

pub mod json;

#[cfg(feature = "panic-injection")]
pub mod injection;

#[cfg(feature = "comparison")]
pub mod comparison;
