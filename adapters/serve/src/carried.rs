//! The headers that carried the key, which must not reach the service, and those that the
//! service still needs, such as a user's token beside the key.

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use keystile::{CredentialSources, contains_key};

/// The examples for gateways replace these, also if keys are read from other headers only.
const REPLACED: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), AUTHORIZATION];

/// The names of all headers that a key may be in, as a list.
pub(crate) fn all(sources: &CredentialSources) -> Option<HeaderValue> {
    let names: Vec<_> = names(sources).collect();
    list(names.iter())
}

/// Repeats in a response what is left in these headers of the request. A gateway replaces the
/// client's headers by those of the answer, so what is not repeated does not reach the service.
pub(crate) fn repeat(sources: &CredentialSources, left: &HeaderMap, response: &mut HeaderMap) {
    for name in names(sources) {
        for value in left.get_all(&name) {
            response.append(&name, value.clone());
        }
    }
}

/// The names of the headers of which a line is no longer left, as a list: a gateway removes
/// whole headers.
pub(crate) fn gone(request: &HeaderMap, left: &HeaderMap) -> Option<HeaderValue> {
    let count = |headers: &HeaderMap, name| headers.get_all(name).iter().count();
    let gone = request.keys();
    list(gone.filter(|name| count(left, *name) < count(request, *name)))
}

/// Removes each of these headers that still contains a key, also if it is encoded as HTTP Basic
/// does it: keystile does not read keys there, and it is not meant for the service either.
/// `passed` is the key of the request, which can have a format that no other text shows.
pub(crate) fn remove_hidden(sources: &CredentialSources, passed: &str, left: &mut HeaderMap) {
    for name in names(sources) {
        // A value may have any bytes.
        let hides = |value: &HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes());
            hides_key(&text, passed)
        };
        if left.get_all(&name).iter().any(hides) {
            left.remove(&name);
        }
    }
}

fn names(sources: &CredentialSources) -> impl Iterator<Item = HeaderName> {
    let names = sources.names();
    let names = names.filter_map(|name| HeaderName::try_from(name).ok());
    let others = names.filter(|name| !REPLACED.contains(name));
    REPLACED.into_iter().chain(others)
}

fn list<'n>(names: impl Iterator<Item = &'n HeaderName>) -> Option<HeaderValue> {
    let names: Vec<&str> = names.map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).ok()
}

fn hides_key(value: &str, passed: &str) -> bool {
    let is = |text: &str| contains_key(text) || (!passed.is_empty() && text.contains(passed));
    is(value) || value.split_whitespace().any(|word| is(&decoded(word)))
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
    use http::header::AUTHORIZATION;

    use super::*;

    const KEY: &str =
        "acme_live_191MMRH44hcbAdsY_YVilDobgLI5XlpXSH6orF3EP5SP4vh5aJRgi1520BJ82a9BL9";

    fn left(value: impl AsRef<[u8]>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        headers.insert(AUTHORIZATION, value);
        remove_hidden(&CredentialSources::new(), KEY, &mut headers);
        headers
    }

    /// Base64 of a text, with the padding of RFC 4648.
    fn base64(text: &str) -> String {
        let digits = ('A'..='Z').chain('a'..='z').chain('0'..='9');
        let digits: Vec<char> = digits.chain(['+', '/']).collect();
        let encode = |three: &[u8]| {
            let bits = (0..3).fold(0, |bits, at| {
                bits << 8 | usize::from(three.get(at).copied().unwrap_or_default())
            });
            let digit = |(at, shift): (usize, u32)| match at <= three.len() {
                true => digits[bits >> shift & 63],
                false => '=',
            };
            let shifts = [18, 12, 6, 0].into_iter().enumerate();
            shifts.map(digit).collect::<String>()
        };
        text.as_bytes().chunks(3).map(encode).collect()
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
        let sources = CredentialSources::new();
        assert_eq!(all(&sources).unwrap(), "x-api-key, authorization");
        let kept = left("Basic dXNlcjpwYXNz");
        let mut request = kept.clone();
        request.insert("x-api-key", KEY.parse().unwrap());
        assert_eq!(gone(&request, &kept).unwrap(), "x-api-key");
        // A gateway cannot remove one line of two.
        request.append(AUTHORIZATION, format!("Bearer {KEY}").parse().unwrap());
        let names = gone(&request, &kept).unwrap();
        assert!(
            names.to_str().unwrap().contains("authorization"),
            "{names:?}"
        );
        let mut response = HeaderMap::new();
        repeat(&sources, &kept, &mut response);
        assert_eq!(response, kept);
    }

    #[test]
    fn what_the_examples_replace_is_repeated_though_no_key_is_read_there() {
        let sources = CredentialSources::none().with_header("X-Acme-Key").unwrap();
        let mut response = HeaderMap::new();
        repeat(&sources, &left("Bearer eyJ.e30.c2ln"), &mut response);
        assert_eq!(response[AUTHORIZATION], "Bearer eyJ.e30.c2ln");
        let list = all(&sources).unwrap();
        assert_eq!(list, "x-api-key, authorization, x-acme-key");
    }

    #[test]
    fn a_hidden_key_is_removed() {
        assert_eq!(left("Basic dXNlcjpwYXNz").len(), 1);
        assert!(left(format!("Custom a={KEY}")).is_empty());
        assert!(left(format!("Custom é {KEY}")).is_empty());
        let encoded = base64(&format!("{KEY}:"));
        assert_eq!(decoded(&encoded), format!("{KEY}:"));
        assert!(left(format!("Basic {encoded}")).is_empty());
        assert!(left(format!("Basic\t{encoded}")).is_empty());
    }

    #[test]
    fn a_key_among_bytes_that_are_no_text_is_removed() {
        assert!(left(format!("Bearer {KEY}\u{a0}")).is_empty());
        let odd = [b"Bearer \xff", KEY.as_bytes()].concat();
        assert!(left(odd).is_empty());
        assert_eq!(left(b"Bearer \xff").len(), 1);
    }

    #[test]
    fn the_key_that_passed_is_removed_whatever_its_format() {
        let own = "a-key-of-an-older-system";
        assert!(hides_key(&format!("Token {own}."), own));
        assert!(hides_key(&format!("Basic {}", base64(own)), own));
        assert!(!hides_key("Token another-key", own));
        assert!(!hides_key("Token another-key", ""));
    }
}
