//! `tests/vectors/store/import.json`: lines of an import, and what becomes of them. This is where the
//! file is made; other languages replay it.
//!
//! With `KEYSTILE_WRITE_VECTORS` set, the file is written; otherwise it is compared.
#![cfg(all(feature = "portable", feature = "sqlite"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests and their fixtures"
)]

mod imports;
mod lines;
mod made;
mod played;

use std::path::PathBuf;

use serde_json::{Value, json};

#[tokio::test]
async fn the_vectors_of_imports_are_what_rust_does() {
    let mut imports = Vec::new();
    for case in imports::cases() {
        imports.push(case.played().await);
    }
    let whole = json!({
        "description": "Lines of an export as an import reads them, and what becomes of them in a store.",
        "lines": lines::cases(),
        "imports": imports,
    });
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/store/import.json");
    let text = spell(&whole);
    if std::env::var_os("KEYSTILE_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(
        there == text,
        "import.json is not what Rust does: set KEYSTILE_WRITE_VECTORS and look at the difference"
    );
}

/// One case a line, so that a difference reads well.
fn spell(whole: &Value) -> String {
    let list = |name: &str| {
        let cases = whole[name].as_array().unwrap();
        let cases: Vec<String> = cases.iter().map(|case| format!("    {case}")).collect();
        format!("  \"{name}\": [\n{}\n  ]", cases.join(",\n"))
    };
    format!(
        "{{\n  \"description\": {},\n{},\n{}\n}}\n",
        whole["description"],
        list("lines"),
        list("imports")
    )
}
