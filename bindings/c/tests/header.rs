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
    without_tags(&String::from_utf8(text).expect("utf-8"))
}

/// In C an enumeration has no tag, because its name is that of an integer: C++ knows no such
/// pair, and `-Wc++-compat` warns of it.
fn without_tags(header: &str) -> String {
    let mut text = String::new();
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let is_sized = lines.peek().is_some_and(|next| next.starts_with("#if"));
        if line.starts_with("enum ") && is_sized {
            let condition = lines.next().expect("a condition");
            let size = lines.next().expect("a size").trim();
            let end = lines.next().expect("an end");
            assert!(
                size.starts_with(": ") && end.starts_with("#endif"),
                "{line}"
            );
            text.push_str(&format!("{condition}\n{line} {size}\n#else\nenum\n{end}\n"));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// A status that is ignored protects nothing: the compiler warns of it.
#[test]
fn no_status_may_be_ignored() {
    let header = generated();
    let code: Vec<&str> = header
        .lines()
        .filter(|line| !line.trim_start().starts_with(['*', '/', '#']))
        .collect();
    let code = code.join("\n");
    let mut functions = 0;
    for declaration in code.split(';') {
        let Some((head, _)) = declaration.split_once('(') else {
            continue;
        };
        let words: Vec<&str> = head.split_whitespace().collect();
        let Some(("keystile_status", name)) = words
            .iter()
            .rev()
            .nth(1)
            .zip(words.last())
            .map(|(kind, name)| (*kind, *name))
        else {
            continue;
        };
        assert!(head.contains("KEYSTILE_MUST_USE"), "{name}");
        functions += 1;
    }
    assert!(functions > 90, "{functions}");
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
