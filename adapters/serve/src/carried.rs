//! The headers that carried the key, which must not reach the service, and those that the
//! service still needs, such as a user's token beside the key.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use keystile::contains_key;

/// The headers that may have carried a key, and may be meant for the service instead.
const SOURCES: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), AUTHORIZATION];

/// The headers to remove if no key was looked for.
pub(crate) const ALL: HeaderValue = HeaderValue::from_static("x-api-key, authorization");

/// Repeats in a response what is left of these headers of the request. A gateway replaces the
/// client's headers by these, so one that is not repeated does not reach the service.
pub(crate) fn repeat(left: &HeaderMap, response: &mut HeaderMap) {
    for name in SOURCES {
        for value in left.get_all(&name) {
            response.append(&name, value.clone());
        }
    }
}

/// The names of the headers that are not left, as a list.
pub(crate) fn names(request: &HeaderMap, left: &HeaderMap) -> Option<HeaderValue> {
    let gone = request.keys().filter(|name| !left.contains_key(*name));
    let names: Vec<&str> = gone.map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

/// Removes each of these headers that still contains a key, in the user name or the password of
/// HTTP Basic too: it did not carry the key for keystile, but is none of the service's business.
pub(crate) fn remove_hidden(left: &mut HeaderMap) {
    for name in SOURCES {
        let hides = |value: &HeaderValue| value.to_str().is_ok_and(has_key);
        if left.get_all(&name).iter().any(hides) {
            left.remove(&name);
        }
    }
}

fn has_key(value: &str) -> bool {
    contains_key(value) || value.split(' ').any(|word| contains_key(&decoded(word)))
}

/// What Base64 stands for, up to the first character that is none of it.
fn decoded(word: &str) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0_u32);
    for character in word.bytes() {
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
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "acme_live_191MMRH44hcbAdsY_YVilDobgLI5XlpXSH6orF3EP5SP4vh5aJRgi1520BJ82a9BL9";

    fn left(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        remove_hidden(&mut headers);
        headers
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decoded("dXNlcjpwYXNz"), "user:pass");
        assert_eq!(decoded("YQ=="), "a");
        assert_eq!(decoded(""), "");
        assert_eq!(decoded("!"), "");
    }

    #[test]
    fn what_is_left_is_repeated_and_what_is_gone_is_named() {
        let kept = left("Basic dXNlcjpwYXNz");
        let mut request = kept.clone();
        request.insert("x-api-key", KEY.parse().unwrap());
        assert_eq!(names(&request, &kept).unwrap(), "x-api-key");
        let mut response = HeaderMap::new();
        repeat(&kept, &mut response);
        assert_eq!(response, kept);
    }

    #[test]
    fn a_hidden_key_is_removed() {
        assert_eq!(left("Basic dXNlcjpwYXNz").len(), 1);
        assert!(left(&format!("Custom a={KEY}")).is_empty());
        let encoded = "3994";
        assert_eq!(decoded(encoded), format!("{KEY}:"));
        assert!(left(&format!("Basic {encoded}")).is_empty());
    }
}
