//! The committed header is the one that this crate's source makes.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::path::Path;
use std::{env, fs};

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/keystile.h");

/// `cargo xtask header` sets this, and the header is written instead of compared.
const WRITE: &str = "KEYSTILE_WRITE_HEADER";

fn generated() -> String {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).expect("a config");
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(package.join("src/lib.rs"))
        .generate()
        .expect("a header");
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).expect("utf-8")
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = generated();
    if env::var_os(WRITE).is_some() {
        fs::write(HEADER, &generated).expect("written");
    }
    let committed = fs::read_to_string(HEADER).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(generated.lines())
        .position(|(own, other)| own != other);
    assert!(
        committed == generated,
        "include/keystile.h is not what the source makes, from line {}; run `cargo xtask header`",
        differs.map_or(0, |line| line + 1)
    );
}
