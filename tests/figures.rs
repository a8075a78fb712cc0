//! Figures in the pages are those of the code.

#![cfg(all(feature = "std", feature = "getrandom"))]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails in a helper fails its test"
)]

use std::fs;
use std::path::Path;

use keystile::{
    IssueRequest, Issuer, KeyFormat, METADATA_BYTES_MAX, Millis, RotationPolicy, SysRng, UnixMillis,
};
use serde_json::Value;

const NOW: u64 = 1_790_000_000_000;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// With commas between groups of three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The number after `before` in a source file.
fn number_in(path: &str, before: &str) -> usize {
    let source = read(path);
    let rest = source
        .split_once(before)
        .unwrap_or_else(|| panic!("{path} has no {before:?}"))
        .1;
    let digits = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '_');
    let digits: String = digits.filter(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{path}: no number after {before:?}"))
}

fn days(time: Millis) -> u64 {
    time.get() / Millis::from_days(1).get()
}

/// The files of the vectors, their cases, and the cases that answer a known attack.
fn vectors() -> (usize, usize, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let (mut files, mut cases, mut attacks) = (0, 0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        files += 1;
        let text: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let list = text["cases"].as_array().unwrap();
        cases += list.len();
        attacks += list
            .iter()
            .filter(|case| case.get("attack").is_some())
            .count();
    }
    (files, cases, attacks)
}

/// Each page, and a sentence that it must have.
fn sentences() -> Vec<(&'static str, String)> {
    let format = KeyFormat::structured("acme").unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap();
    let now = UnixMillis::new(NOW).unwrap();
    let issued = Issuer::new(format)
        .issue(&request, &mut SysRng, now)
        .unwrap();
    let lifetime = days(issued.record.expires_at.unwrap().since(now));
    let overlap = days(RotationPolicy::default().overlap());
    let secret_and_check = issued.key.expose().rsplit('_').next().unwrap().len();
    let (files, cases, attacks) = vectors();
    let seeds = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")).unwrap();
    let folders: Vec<_> = seeds.map(|entry| entry.unwrap().path()).collect();
    let seeds = folders
        .iter()
        .map(|folder| fs::read_dir(folder).unwrap().count());
    let seeds: usize = seeds.sum();
    let targets = read("fuzz/Cargo.toml").matches("[[bin]]").count();
    let msrv = read("Cargo.toml");
    let msrv = msrv
        .split_once("rust-version = \"")
        .unwrap()
        .1
        .split('"')
        .next()
        .unwrap();
    let ttl = number_in("src/keyring/builder.rs", "ttl: Millis::from_secs(");
    let absent = number_in("src/keyring/builder.rs", "let usual = Millis::from_secs(");
    let invalid = number_in(
        "adapters/http/src/gate.rs",
        "INVALID_KEYS_PER_MINUTE: u32 = ",
    );
    let builder = "adapters/store/src/authenticator/builder.rs";
    let capacity = grouped(number_in(builder, "let capacity = "));
    let flush = number_in(builder, "flush_interval: Duration::from_secs(");
    let kib = METADATA_BYTES_MAX / 1024;
    vec![
        ("docs/operations/alerts.md", format!("at most {capacity}")),
        (
            "docs/operations/alerts.md",
            format!("written every {flush} s"),
        ),
        ("README.md", format!("Rust {msrv} or later")),
        ("docs/quickstart/axum.md", format!("Rust {msrv} or later")),
        ("docs/stability.md", msrv.to_owned()),
        (
            "docs/concepts/rotation.md",
            format!("The overlap is {overlap} days unless"),
        ),
        (
            "docs/concepts/rotation.md",
            format!("a default lifetime, {lifetime} days unless set"),
        ),
        (
            "docs/operations/admin-key.md",
            format!("the key ends after {lifetime} days"),
        ),
        ("docs/concepts/record.md", format!("at most {kib} KiB")),
        (
            "docs/concepts/key.md",
            format!("{} characters of base62", secret_and_check - 6),
        ),
        ("docs/concepts/record.md", format!("at most {ttl} seconds")),
        (
            "docs/migration/express.md",
            format!("after at most {ttl} seconds"),
        ),
        (
            "docs/operations/processes.md",
            format!("for up to {absent} s"),
        ),
        ("docs/concepts/limits.md", format!("{invalid} a minute")),
        ("docs/quickstart/axum.md", format!("{invalid} a minute")),
        (
            "docs/operations/support.md",
            format!("more than {invalid} keys a minute"),
        ),
        (
            "docs/evidence.md",
            format!("{} cases in {files} files", grouped(cases)),
        ),
        (
            "docs/evidence.md",
            format!("{attacks} of them\nanswer a known attack"),
        ),
        ("docs/evidence.md", format!("There are {targets} targets")),
        ("docs/evidence.md", format!("{seeds} seeds")),
    ]
}

#[test]
fn the_pages_have_the_figures_of_the_code() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (page, sentence) in sentences() {
        let text = words(&read(page));
        let sentence = words(&sentence);
        // Not as the end of a longer number.
        let is_there = text.match_indices(&sentence).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            before.is_none_or(|c| !c.is_ascii_digit() && c != ',')
        });
        assert!(is_there, "{page}: expected {sentence:?}");
    }
}

#[test]
fn numbers_are_grouped() {
    for (number, text) in [
        (7, "7"),
        (980, "980"),
        (1870, "1,870"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(number), text);
    }
}
