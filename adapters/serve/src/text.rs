//! Parsers for texts that callers send.
//!
//! Each message states what was expected and never repeats the text: it may be a key that was
//! put into the wrong field.

use core::net::IpAddr;

use keystile::{KeyFormat, Requirement, is_method};

use crate::problem::Problem;

/// Hex digits of an opaque key, as keystile issues them.
const OPAQUE_DIGITS: usize = 64;

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

/// The text, unless it [contains a key](contains_key).
pub(crate) fn without_key(text: &str) -> Result<&str, Problem> {
    if contains_key(text) {
        return Err(Problem::invalid(
            "A text must not contain a whole key; use the key's id instead.",
        ));
    }
    Ok(text)
}

/// Whether a text contains a whole key. What is stored or shown has many readers, so such a
/// text is refused as a name, a note or metadata.
///
/// ```
/// use keystile_serve::contains_key;
/// assert!(contains_key(&format!("from dt_{}.", "0123456789abcdef".repeat(4))));
/// assert!(!contains_key("from key 1AbCdEfGhIjKlMnO"));
/// ```
#[must_use]
pub fn contains_key(text: &str) -> bool {
    let part_of_key = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (structured, opaque) = (KeyFormat::any_structured(), KeyFormat::any_opaque());
    let is_key = |word: &str| {
        let word = word.as_bytes();
        let digits = word.rsplit(|&byte| byte == b'_').next().unwrap_or_default();
        structured.parse(word).is_some()
            || (digits.len() == OPAQUE_DIGITS && opaque.parse(word).is_some())
    };
    text.split(|c| !part_of_key(c)).any(is_key)
}
