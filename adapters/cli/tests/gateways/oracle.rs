//! What must hold for every request that reaches a service, whatever the gateway.

use std::collections::HashMap;

use crate::shapes::{Shape, Words, spelled};
use crate::upstream::{Seen, folded};

/// What the service must be told of a key: id, client, owner and environment.
pub(crate) type Identities = HashMap<String, [String; 4]>;

const NAMES: [&str; 4] = [
    "x-keystile-key-id",
    "x-keystile-client",
    "x-keystile-owner",
    "x-keystile-environment",
];

/// Headers of one connection; the services get those of the gateway's own, and no other.
/// `Trailer` is not among them: some gateways pass trailers on as trailers.
const OF_A_CONNECTION: [&str; 5] = [
    "te",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "upgrade",
];

/// What is wrong with a request that a service got.
pub(crate) fn problems(
    shape: &Shape,
    seen: &Seen,
    identities: &Identities,
    words: &Words,
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_owned());
        }
    };
    check(shape.key != "none", "it had no key");
    let Some(identity) = identities.get(&shape.key) else {
        return problems;
    };
    for (name, value) in NAMES.iter().zip(identity) {
        let values = seen.values(name);
        // Some gateways leave an empty one out.
        let is_left_out = value.is_empty() && values.is_empty();
        check(values == [value] || is_left_out, name);
    }
    let mut folds = seen.headers.iter().map(|(name, _)| folded(name));
    let is_known = |name: String| !name.contains("keystile") || NAMES.contains(&name.as_str());
    check(folds.all(is_known), "another header of ours");

    let (method, target) = shape.line();
    check(seen.method == method, "another method");
    let path = seen.target.split('?').next().unwrap_or_default();
    let readings = readings(path);
    match shape.key.as_str() {
        "admin" => {}
        "metrics" => check(
            method == "GET" && readings.iter().all(|one| one.starts_with("/api/metrics/")),
            "a path that the key may not reach",
        ),
        _ => check(
            !readings
                .iter()
                .any(|one| one == "/admin" || one.starts_with("/admin/")),
            "a path that the key may not reach",
        ),
    }
    if shape.expect.is_some() {
        let target = spelled(target, words);
        let own = seen.target.trim_end_matches('?');
        check(own == target, "another target");
        let is_whole = shape.raw_body || seen.body == spelled(&shape.body, words);
        check(is_whole, "another body");
    }

    let has = |text: &str| seen.headers.iter().any(|(_, value)| value.contains(text));
    check(!has("forged"), "a value that only the client sent");
    check(!has("203.0.113.66"), "an address that the client invented");
    check(!has("DELETE"), "an override of the method");
    let everything = format!("{seen:?}");
    for name in ["reader", "bare", "metrics", "admin"] {
        check(!everything.contains(&words[name]), "the text of a key");
    }
    check(
        !everything.contains(&words["basic"]),
        "the key as a password",
    );
    let is_websocket = seen.values("upgrade") == ["websocket"];
    for name in OF_A_CONNECTION {
        let values = seen.values(name);
        let is_empty = values.iter().all(|value| value.is_empty());
        let is_fine = is_empty || (is_websocket && name == "upgrade");
        check(is_fine, name);
    }
    let connection = seen.values("connection").join(",").to_ascii_lowercase();
    let is_fine = ["", "close", "keep-alive"].contains(&connection.as_str());
    check(
        is_fine || (is_websocket && connection == "upgrade"),
        "the client's Connection",
    );
    check(
        seen.values("x-forwarded-for").len() == 1,
        "the client's address is not said",
    );
    problems
}

/// What some program takes a path for: each way of decoding, joined with each of cleaning.
fn readings(path: &str) -> Vec<String> {
    let mut all = Vec::new();
    for ways in 0..32_u8 {
        let has = |bit: u8| ways & (1 << bit) != 0;
        for decoded in 0..3 {
            let mut path = path.to_owned();
            for _ in 0..decoded {
                path = decode(&path);
            }
            if has(0) {
                path = path.replace('\\', "/");
            }
            if has(1) {
                path = path.split(['#', '?']).next().unwrap_or_default().to_owned();
            }
            if has(2) {
                let pieces = path.split('/');
                let pieces = pieces.map(|one| one.split(';').next().unwrap_or_default());
                path = pieces.collect::<Vec<_>>().join("/");
            }
            if has(3) {
                path = cleaned(&path);
            }
            if has(4) {
                path = path.to_ascii_lowercase();
            }
            all.push(path);
        }
    }
    all
}

fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3);
        let digits = digits.and_then(|digits| core::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn cleaned(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for piece in path.split('/') {
        match piece {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            piece => kept.push(piece),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", kept.join("/"))
}

#[test]
fn a_path_is_read_in_every_way() {
    for path in [
        "/admin/secret",
        "/x/../admin/secret",
        "/%61dmin/secret",
        "/x/..%2fadmin",
        "/x/%252e%252e/admin/secret",
        "//ADMIN//secret",
        "/admin;a/secret",
        "/x\\..\\admin",
        "/admin#/public",
    ] {
        let readings = readings(path);
        let is_admin = |one: &String| one == "/admin" || one.starts_with("/admin/");
        assert!(readings.iter().any(is_admin), "{path}: {readings:?}");
    }
    for path in ["/things", "/administration", "/x/admin/y"] {
        let readings = readings(path);
        assert!(
            !readings.iter().any(|one| one.starts_with("/admin/")),
            "{path}"
        );
    }
}
