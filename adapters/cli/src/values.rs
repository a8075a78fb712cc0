//! Parsers for the values of options.
//!
//! Each message states what was expected and never repeats the value: it may be a key that
//! was pasted into the wrong place.

use core::net::IpAddr;
use std::borrow::Cow;
use std::path::PathBuf;

use keystile::{
    EndpointRules, Environment, EventKind, IssueRequest, KeyFormat, KeyId, Lookup, Networks,
    PepperRing, PermissionSet, Prefix, RateLimitFields, Requirement, TemplateName, UnixMillis,
    is_method,
};
use keystile_serve::{contains_key, parse_rfc3339};
use keystile_store::{IDEMPOTENCY_KEY_BYTES_MAX, KeyStatus, OfDerived, Sort};
use serde::de::IgnoredAny;

use crate::duration::whole;
use crate::serve::OnLoss;

type Checked<T> = Result<T, &'static str>;

const ID_BYTES: usize = 16;
const PROCESSES_MAX: u32 = 100_000;
const EXPECTED_TEXT: &str = "must be 1 to 255 bytes without control or invisible characters";

/// A client's name.
pub(crate) fn client(text: &str) -> Checked<String> {
    if text.trim().is_empty() {
        return Err(EXPECTED_TEXT);
    }
    note(text, EXPECTED_TEXT)
}

/// An account or tenant.
pub(crate) fn owner(text: &str) -> Checked<String> {
    if text.is_empty() {
        return Err(EXPECTED_TEXT);
    }
    note(text, EXPECTED_TEXT)
}

/// Why a key is revoked.
pub(crate) fn reason(text: &str) -> Checked<String> {
    if text.trim().is_empty() {
        return Err(EXPECTED_TEXT);
    }
    note(text, EXPECTED_TEXT)
}

/// An e-mail address; only its shape is checked.
pub(crate) fn email(text: &str) -> Checked<String> {
    let expected = "must be name@host, at most 255 bytes, without spaces";
    let shaped = text
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if !shaped || text.contains(char::is_whitespace) {
        return Err(expected);
    }
    note(text, expected)
}

/// JSON text.
pub(crate) fn metadata(text: &str) -> Checked<String> {
    if text.len() > keystile::METADATA_BYTES_MAX {
        return Err("must be at most 16 KiB of JSON");
    }
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err("must be JSON, such as {\"plan\":\"pro\"}");
    }
    without_key(text)
}

/// A permission as it is granted.
pub(crate) fn permission(text: &str) -> Checked<String> {
    said(PermissionSet::new([text])).and_then(|_| without_key(text))
}

/// An endpoint rule.
pub(crate) fn endpoint(text: &str) -> Checked<String> {
    said(EndpointRules::new([text])).and_then(|_| without_key(text))
}

/// An IP address or a CIDR block.
pub(crate) fn network(text: &str) -> Checked<String> {
    said(Networks::new([text]).map(|_| text.to_owned()))
}

/// An IP address.
pub(crate) fn address(text: &str) -> Checked<IpAddr> {
    text.parse()
        .map_err(|_| "must be an IPv4 or IPv6 address, such as 192.0.2.7 or 2001:db8::7")
}

/// The name of an environment.
pub(crate) fn environment(text: &str) -> Checked<Environment> {
    said(Environment::new(text))
}

/// The prefix of keys.
pub(crate) fn prefix(text: &str) -> Checked<Prefix> {
    said(Prefix::new(text))
}

/// A template's name. Whether such a template exists is checked later.
pub(crate) fn template(text: &str) -> Checked<TemplateName> {
    said(TemplateName::new(text))
}

/// The permissions that a request needs.
pub(crate) fn requirement(text: &str) -> Checked<Requirement> {
    without_key(text).and_then(|text| said(Requirement::parse(&text)))
}

/// The public id of a key. If it is a whole key, the message has the id that is in it.
pub(crate) fn id(text: &str) -> Result<KeyId, Cow<'static, str>> {
    text.parse().map_err(|error: keystile::Error| {
        let key = KeyFormat::any_structured().parse(text.as_bytes());
        match key.map(|key| key.lookup(&PepperRing::none())) {
            Some(Lookup::Id(id)) => {
                format!("this is a whole key, and an id was expected; its id is {id}").into()
            }
            _ if contains_key(text) => {
                "this is a whole key, and an id was expected; verify prints its id".into()
            }
            _ => error.message().into(),
        }
    })
}

/// The first characters of a key's id.
pub(crate) fn id_prefix(text: &str) -> Checked<String> {
    let is_part = (1..=ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_part
        .then(|| text.to_owned())
        .ok_or("must be the first 1 to 16 characters of an id, of A-Z a-z 0-9")
}

/// A word that lists show as the status of a key.
pub(crate) fn status(text: &str) -> Checked<KeyStatus> {
    KeyStatus::from_name(text)
        .ok_or("must be active, retiring, replaced, expired, suspended or revoked")
}

/// The form of the header fields about rate limits.
pub(crate) fn rate_limit_fields(text: &str) -> Checked<RateLimitFields> {
    RateLimitFields::from_name(text).ok_or("must be 6, 7, 8 or x")
}

/// An order of a list.
pub(crate) fn sort(text: &str) -> Checked<Sort> {
    Sort::from_name(text).ok_or("must be inserted, id, issued, expires or last-used")
}

/// A date, which is its start in UTC, or an instant.
pub(crate) fn instant(text: &str) -> Checked<UnixMillis> {
    parse_rfc3339(text).ok_or(
        "must be a date or an instant as RFC 3339, such as 2026-09-21 or 2026-09-21T14:13:20Z",
    )
}

/// An HTTP method, as in endpoint rules.
pub(crate) fn method(text: &str) -> Checked<String> {
    is_method(text)
        .then(|| text.to_owned())
        .ok_or("must be an upper-case token, such as GET")
}

/// A path as the router sees it. Whether it is canonical is part of the decision.
pub(crate) fn path(text: &str) -> Checked<String> {
    if text.is_empty() {
        return Err("must be the path of a request, such as /api/data/7");
    }
    Ok(text.to_owned())
}

/// A count of 1 or more.
pub(crate) fn count(text: &str) -> Checked<u64> {
    whole(text)
        .filter(|count| (1..=i64::MAX.unsigned_abs()).contains(count))
        .ok_or("must be a whole number, 1 or more")
}

/// How many processes serve.
pub(crate) fn processes(text: &str) -> Checked<u32> {
    whole(text)
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (1..=PROCESSES_MAX).contains(count))
        .ok_or("must be a whole number, 1 to 100000")
}

/// What is done while rate limits cannot be counted.
pub(crate) fn on_limits_loss(text: &str) -> Checked<OnLoss> {
    if text == "refuse" {
        return Ok(OnLoss::Refuse);
    }
    let parts = text.strip_prefix("share=").and_then(|n| processes(n).ok());
    parts
        .map(OnLoss::Share)
        .ok_or("must be refuse, or share=N with a whole number, 1 to 100000")
}

fn said<T>(result: Result<T, keystile::Error>) -> Checked<T> {
    result.map_err(|error| error.message())
}

fn note(text: &str, expected: &'static str) -> Checked<String> {
    // The core's own check: every text that it limits in this way has the same.
    if IssueRequest::new(text).is_err() {
        return Err(expected);
    }
    without_key(text)
}

/// The kind of an event.
pub(crate) fn event_kind(text: &str) -> Checked<EventKind> {
    EventKind::from_name(text).ok_or(
        "must be issued, rotated, revoked, suspended, resumed, expired, rehashed, imported, \
         changed, deleted or pruned",
    )
}

/// The text that names a request.
pub(crate) fn idempotency_key(text: &str) -> Checked<String> {
    let is_key = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key || !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len()) {
        return Err("must be 1 to 255 visible ASCII characters");
    }
    without_key(text)
}

/// A path of a file.
pub(crate) fn file(text: &str) -> Checked<PathBuf> {
    if text.is_empty() || text.contains('\0') {
        return Err("must be the path of a file");
    }
    without_key(text).map(PathBuf::from)
}

/// The text, unless it contains a whole key: what is stored or printed has many readers.
pub(crate) fn without_key(text: &str) -> Checked<String> {
    if contains_key(text) {
        return Err("must not contain a whole key; use the key's id instead");
    }
    Ok(text.to_owned())
}

/// What becomes of derived keys.
pub(crate) fn of_derived(text: &str) -> Result<OfDerived, &'static str> {
    OfDerived::from_name(text)
        .filter(|rule| *rule != OfDerived::Refuse)
        .ok_or("must be suspend, revoke or keep")
}

#[cfg(test)]
mod tests {
    use super::*;
    use keystile::{SysRng, issue};

    #[test]
    fn keys_are_not_taken_into_notes() {
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let request = IssueRequest::new("Acme").unwrap();
        for format in [KeyFormat::structured("ks"), KeyFormat::opaque("dt")] {
            let issued = issue(
                &format.unwrap(),
                &PepperRing::none(),
                &request,
                &mut SysRng,
                now,
            );
            let key = issued.unwrap().key;
            let key = key.expose();
            for text in [
                key.to_owned(),
                format!("leaked: {key}."),
                format!("\"{key}\""),
            ] {
                assert!(reason(&text).is_err() && client(&text).is_err() && owner(&text).is_err());
            }
            assert!(permission(key).is_err() && requirement(key).is_err());
            assert!(endpoint(&format!("/api/{key}/x")).is_err());
            assert!(metadata(&format!("{{\"key\":\"{key}\"}}")).is_err());
            assert!(email(&format!("{key}@x")).is_err());
            // Without its last character it is no key.
            let cut = key.get(..key.len() - 1).unwrap();
            assert!(reason(cut).is_ok());
        }
        assert!(metadata(&format!("{{\"image\":\"sha256:{}\"}}", "0f".repeat(32))).is_ok());
    }

    #[test]
    fn texts_have_limits() {
        assert!(client(&"x".repeat(255)).is_ok() && client(&"x".repeat(256)).is_err());
        assert!(client("").is_err() && client(" ").is_err() && client("a\nb").is_err());
        assert!(reason("\u{1b}[2J").is_err() && owner("a\u{9b}b").is_err());
        for hidden in ["a\u{202e}b", "a\u{200b}", "\u{feff}a", "a\u{2066}b"] {
            assert!(client(hidden).is_err() && owner(hidden).is_err() && reason(hidden).is_err());
        }
        for wrong in ["", "@", "a@", "@b", "ab", "a@b@c", "a b@c", "a@b c"] {
            assert!(email(wrong).is_err(), "{wrong}");
        }
        assert!(email("ops@acme.example").is_ok());
    }

    #[test]
    fn counts_methods_and_metadata() {
        assert_eq!(count("1"), Ok(1));
        assert_eq!(count("9223372036854775807"), Ok(i64::MAX.unsigned_abs()));
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "1.0",
            " 1",
            "9223372036854775808",
            "ten",
        ] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
        // What may be in an endpoint rule may be asked for, and nothing else.
        for text in ["GET", "X2", "M-SEARCH", "", "get", "GET ", "GÉT", "-", "2X"] {
            assert_eq!(
                method(text).is_ok(),
                endpoint(&format!("{text} /a")).is_ok(),
                "{text}"
            );
        }
        assert!(method("X2").is_ok() && method("-").is_err() && method("GET,PUT").is_err());
        for wrong in ["", "{", "{\"a\":}", "nul", "{} {}", &"[".repeat(9_000)] {
            assert!(metadata(wrong).is_err(), "{wrong}");
        }
        assert!(metadata("null").is_ok() && metadata("{\"a\": [1, 2]}").is_ok());
        assert!(metadata(&format!("\"{}\"", "x".repeat(16_383))).is_err());
    }
}
