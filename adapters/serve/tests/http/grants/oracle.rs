//! What a key gives, by the words of the specification and not by the code: sections 4, 5 and 8.
//!
//! Each right is asked about with examples. So a key has more than another if it may do
//! one of these that the other may not, has a faster limit, more uses, or a later end.

use keystile::{KeyRecord, RateLimit};

const PERMISSIONS: [&str; 14] = [
    "a:x",
    "a:y",
    "a:x:z",
    "a",
    "b:x",
    "b:y",
    "c:x",
    "c:y",
    "x",
    "keystile:keys:read",
    "keystile:keys:write",
    "keystile:keys:renew",
    "keystile:owners:any",
    "keystile:other",
];
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
const PATHS: [&str; 9] = [
    "/",
    "/api",
    "/api/",
    "/api/a",
    "/api/a/",
    "/api/a/x",
    "/api/b/x",
    "/v1/keys",
    "/other/y/z",
];
const ADDRESSES: [[u8; 4]; 5] = [
    [127, 0, 0, 1],
    [127, 9, 9, 9],
    [10, 1, 2, 3],
    [10, 2, 3, 4],
    [192, 0, 2, 1],
];

/// `*` in the middle is one segment, and at the end one or more.
fn permits(granted: &str, asked: &str) -> bool {
    let (granted, asked): (Vec<_>, Vec<_>) =
        (granted.split(':').collect(), asked.split(':').collect());
    let fits = |(granted, asked): (&&str, &&str)| *granted == "*" || granted == asked;
    let is_open = granted.last() == Some(&"*");
    (granted.len() == asked.len() || (is_open && granted.len() < asked.len()))
        && granted.iter().zip(&asked).all(fits)
}

/// `*` in the middle is one segment that is not empty, and at the end any remainder.
fn reaches(rule: &str, method: &str, path: &str) -> bool {
    let (methods, pattern) = rule.split_once(' ').unwrap_or(("", rule));
    if !methods.is_empty() && !methods.split(',').any(|one| one == method) {
        return false;
    }
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let (last, inner) = pattern.split_last().unwrap();
    let is_open = *last == "*";
    let inner = if is_open { inner } else { &pattern };
    if path.len() < pattern.len() || (!is_open && path.len() > pattern.len()) {
        return false;
    }
    let fits = |(rule, part): (&&str, &&str)| match *rule {
        "*" => !part.is_empty(),
        rule => rule == *part,
    };
    inner.iter().zip(&path).all(fits)
}

fn is_from(network: &str, address: [u8; 4]) -> bool {
    let (base, length) = network.split_once('/').unwrap_or((network, "32"));
    let base: Vec<u32> = base.split('.').map(|part| part.parse().unwrap()).collect();
    let number = |bytes: [u32; 4]| {
        bytes
            .iter()
            .fold(0_u64, |sum, byte| sum * 256 + u64::from(*byte))
    };
    let shift = 32 - length.parse::<u32>().unwrap();
    let base = number([base[0], base[1], base[2], base[3]]);
    number(address.map(u32::from)) >> shift == base >> shift
}

/// In any time T at most burst + limit · T / window pass.
fn is_slower(limit: RateLimit, than: RateLimit) -> bool {
    let rate = |limit: RateLimit, other: RateLimit| {
        u128::from(limit.limit()) * u128::from(other.window().get())
    };
    limit.burst() <= than.burst() && rate(limit, than) <= rate(than, limit)
}

/// What `key` has more than `than`, if it has.
pub(crate) fn more(key: &KeyRecord, than: &KeyRecord) -> Option<String> {
    if key.owner != than.owner || key.environment != than.environment {
        return Some("another owner or environment".to_owned());
    }
    if let Some(right) = more_rights(key, than) {
        return Some(right);
    }
    let is_more = |own: Option<u64>, other: Option<u64>| match (own, other) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(own), Some(other)) => own > other,
    };
    if is_more(key.remaining_uses, than.remaining_uses) {
        return Some("uses".to_owned());
    }
    is_more(end(key), end(than)).then(|| "a later end".to_owned())
}

/// The same without owner, environment, uses and end.
pub(crate) fn more_rights(key: &KeyRecord, than: &KeyRecord) -> Option<String> {
    let may = |key: &KeyRecord, asked: &str| key.permissions.iter().any(|one| permits(one, asked));
    for asked in PERMISSIONS {
        if may(key, asked) && !may(than, asked) {
            return Some(asked.to_owned());
        }
    }
    let may = |key: &KeyRecord, method: &str, path: &str| match &key.allowed_endpoints {
        None => true,
        Some(rules) => rules.iter().any(|rule| reaches(rule, method, path)),
    };
    for (method, path) in METHODS
        .iter()
        .flat_map(|one| PATHS.map(|path| (*one, path)))
    {
        if may(key, method, path) && !may(than, method, path) {
            return Some(format!("{method} {path}"));
        }
    }
    let may = |key: &KeyRecord, address: [u8; 4]| match &key.allowed_networks {
        None => true,
        Some(all) => all.iter().any(|one| is_from(&one.to_string(), address)),
    };
    for address in ADDRESSES {
        if may(key, address) && !may(than, address) {
            return Some(format!("{address:?}"));
        }
    }
    match (key.rate_limit, than.rate_limit) {
        (_, None) => None,
        (Some(own), Some(other)) if is_slower(own, other) => None,
        _ => Some("a faster limit".to_owned()),
    }
}

/// When it ends, in milliseconds.
pub(crate) fn end(key: &KeyRecord) -> Option<u64> {
    let overlap = key.overlap_until.filter(|_| key.replaced_by.is_some());
    let ends = [key.expires_at, overlap].into_iter().flatten();
    ends.min().map(|end| end.get())
}

#[test]
fn the_oracle_has_the_examples_of_the_specification() {
    assert!(permits("a:*", "a:x:z") && !permits("a:*", "a") && permits("*", "a"));
    assert!(permits("*:x", "b:x") && !permits("*:x", "a:x:z"));
    assert!(reaches("/api/*", "GET", "/api/") && !reaches("/api/*", "GET", "/api"));
    assert!(reaches("/*", "GET", "/") && reaches("/api/*/x", "GET", "/api/a/x"));
    assert!(!reaches("GET /api/a", "POST", "/api/a") && !reaches("/api/a", "GET", "/api/a/"));
    assert!(is_from("10.1.0.0/16", [10, 1, 2, 3]) && !is_from("10.1.0.0/16", [10, 2, 3, 4]));
}
