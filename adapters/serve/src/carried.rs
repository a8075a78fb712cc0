//! The headers that carried the key, which must not reach the service, and those that the
//! service still needs, such as a user's token beside the key.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use keystile::contains_key;

/// The headers that keystile reads keys from.
const SOURCES: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), AUTHORIZATION];

/// Repeats in a response the headers that did not carry the key. A gateway replaces the
/// client's headers by these, so that one that is not repeated does not reach the service.
///
/// A header of which one line carried the key is not repeated at all.
pub(crate) fn repeat_others(request: &HeaderMap, response: &mut HeaderMap) {
    for name in SOURCES {
        if !is_other(&name, request) {
            continue;
        }
        for value in request.get_all(&name) {
            response.append(&name, value.clone());
        }
    }
}

/// The names of the headers that carried the key, in a list.
pub(crate) fn names(request: &HeaderMap) -> Option<HeaderValue> {
    let carried = SOURCES.into_iter().filter(|name| !is_other(name, request));
    let names: Vec<_> = carried.map(|name| name.as_str().to_owned()).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

/// Whether no line of the header carried the key.
fn is_other(name: &HeaderName, request: &HeaderMap) -> bool {
    let mut values = request.get_all(name).iter().map(HeaderValue::to_str);
    *name == AUTHORIZATION && values.all(|value| value.is_ok_and(has_no_key))
}

fn has_no_key(value: &str) -> bool {
    let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value, ""));
    !scheme.eq_ignore_ascii_case("bearer") && !contains_key(value) && !hides_key(rest)
}

/// Whether the text contains a key once it is decoded, as the user name of HTTP Basic is.
fn hides_key(encoded: &str) -> bool {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for character in encoded.trim().bytes() {
        let digit = match character {
            b'A'..=b'Z' => character.wrapping_sub(b'A'),
            b'a'..=b'z' => character.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => character.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(digit);
        count = count.saturating_add(6);
        if let Some(rest) = count.checked_sub(8) {
            let [byte, ..] = bits.checked_shr(rest).unwrap_or_default().to_le_bytes();
            bytes.push(byte);
            count = rest;
        }
    }
    contains_key(&String::from_utf8_lossy(&bytes))
}
