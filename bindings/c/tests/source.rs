//! What holds for the source of the C layer as a whole.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::fs;
use std::path::Path;

use keystile::{
    Checksum, CredentialSources, Digest, EndpointRules, Error, IssueRequest, KeyFormat, KeyId,
    Millis, Networks, Pepper, PermissionSet, RateLimit, Requirement, RotationPolicy, TemplateName,
    UnixMillis,
};

fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "src/boundary"] {
        let entries = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in fs::read_dir(entries).expect("the source") {
            let path = entry.expect("a file").path();
            if path.is_file() {
                let name = path.file_name().expect("a name").to_string_lossy();
                let text = fs::read_to_string(&path).expect("text");
                files.push((format!("{folder}/{name}"), text));
            }
        }
    }
    files
}

#[test]
fn all_unsafe_blocks_stand_at_the_boundary() {
    let files = sources();
    assert!(files.len() > 20);
    for (name, text) in files {
        let blocks = text.matches("unsafe {").count() + text.matches("unsafe impl").count();
        assert_eq!(blocks > 0, name.contains("boundary"), "{name}: {blocks}");
    }
}

#[test]
fn p9_every_exported_function_is_behind_the_guard() {
    let mut functions = 0;
    for (name, text) in sources() {
        for exported in text.split("#[unsafe(no_mangle)]").skip(1) {
            let body = exported.split("\n}\n").next().unwrap_or_default();
            let guarded = [
                "guard(",
                "guard_saying(",
                "guard_deciding(",
                "guard_or(",
                "release(",
            ]
            .iter()
            .any(|guard| body.contains(guard));
            let is_injection = body.contains("keystile_test_panic_next");
            assert!(guarded || is_injection, "{name}: {body}");
            functions += 1;
        }
    }
    assert!(functions > 100);
}

#[test]
fn a_status_says_what_the_core_s_error_says() {
    let opaque = || KeyFormat::opaque("ks").expect("a format");
    let client = || IssueRequest::new("Acme").expect("a name");
    let errors: [Option<Error>; 29] = [
        KeyFormat::structured("").err(),
        client().environment("").err(),
        TemplateName::new("").err(),
        CredentialSources::new().with_header("").err(),
        CredentialSources::new().with_scheme("").err(),
        Checksum::keyed(b"").err(),
        opaque().with_checksum(Checksum::Crc32).err(),
        opaque().with_random_bytes(0).err(),
        "".parse::<KeyId>().err(),
        "".parse::<Digest>().err(),
        Pepper::new(1, b"").err(),
        PermissionSet::new([""]).err(),
        PermissionSet::new(["a"; 65]).err(),
        Requirement::parse("").err(),
        EndpointRules::new(["a /a"]).err(),
        EndpointRules::new(["a"]).err(),
        Networks::new([""]).err(),
        UnixMillis::new(0).err(),
        RateLimit::new(1, Millis::ZERO).err(),
        RateLimit::with_burst(1, Millis::from_days(1), 0).err(),
        RateLimit::new(u32::MAX, Millis::from_days(1)).err(),
        RateLimit::with_burst(1, Millis::from_days(366), 11).err(),
        client().uses(0).err(),
        client().expires_in(Millis::ZERO).err(),
        RotationPolicy::default().with_max_age(Millis::ZERO).err(),
        IssueRequest::new("").err(),
        client().email("\n").err(),
        client().owner("\n").err(),
        client().metadata(&*" ".repeat(20_000)).err(),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/status.rs");
    let table = fs::read_to_string(path).expect("the table");
    for error in errors {
        let message = error.expect("an error").message();
        assert!(table.contains(message), "{message}");
    }
}
