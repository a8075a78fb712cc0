//! Parsers for texts that callers send.
//!
//! Each message states what was expected and never repeats the text: it may be a key that was
//! put into the wrong field.

use core::net::IpAddr;

use keystile::{Requirement, contains_key, is_method};

use crate::problem::Problem;

const TEXT_BYTES_MAX: usize = 255;

/// The permissions that a request needs.
pub(crate) fn requirement(text: &str) -> Result<Requirement, Problem> {
    Ok(Requirement::parse(without_key(text)?)?)
}

/// An HTTP method, as in endpoint rules.
pub(crate) fn method(text: &str) -> Result<&str, Problem> {
    is_method(text)
        .then_some(text)
        .ok_or_else(|| Problem::invalid("method must be an upper-case token, such as GET."))
}

/// An IP address.
pub(crate) fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        Problem::invalid("ip must be an IPv4 or IPv6 address, such as 192.0.2.7 or 2001:db8::7.")
    })
}

/// Whether a text can be that of a record or of an event: none that is longer is stored.
pub(crate) fn is_short(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX
}

/// The text, unless it [contains a key](contains_key).
pub(crate) fn without_key(text: &str) -> Result<&str, Problem> {
    if contains_key(text) {
        return Err(Problem::invalid(
            "A text must not contain a whole key; use the key's id instead.",
        ));
    }
    Ok(text)
}
