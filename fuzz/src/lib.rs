//! What must hold for the core with any input bytes.
//!
//! Each target is a function of bytes that panics if a promise is broken: it compares the
//! core with a slow and obvious implementation of the same rules. A fuzzer calls it with
//! invented bytes, and a plain test calls it with the files in `corpus/`.

pub mod credential_extract;
pub mod decision;
pub mod digest_text;
pub mod endpoint_match;
pub mod inspect;
pub mod key_parse;
pub mod limit;
pub mod record_decode;
pub mod requirement_parse;

mod draw;
mod rules;

/// A target: its name, which is also its folder in `corpus/`, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 9] = [
    ("credential_extract", credential_extract::run),
    ("decision", decision::run),
    ("digest_text", digest_text::run),
    ("endpoint_match", endpoint_match::run),
    ("inspect", inspect::run),
    ("key_parse", key_parse::run),
    ("limit", limit::run),
    ("record_decode", record_decode::run),
    ("requirement_parse", requirement_parse::run),
];
