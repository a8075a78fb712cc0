//! What holds for the source of the C layer as a whole.

#![allow(clippy::expect_used, reason = "a test says what it expects")]

use std::fs;
use std::path::Path;

fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    fs::read_dir(folder)
        .expect("the source")
        .map(|entry| {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into();
            (name, fs::read_to_string(path).expect("text"))
        })
        .collect()
}

#[test]
fn all_unsafe_blocks_stand_in_one_file() {
    let files = sources();
    assert!(files.len() > 20);
    for (name, text) in files {
        let blocks = text.matches("unsafe {").count() + text.matches("unsafe impl").count();
        assert_eq!(blocks > 0, name == "boundary.rs", "{name}: {blocks}");
    }
}

#[test]
fn p9_every_exported_function_is_behind_the_guard() {
    let mut functions = 0;
    for (name, text) in sources() {
        for exported in text.split("#[unsafe(no_mangle)]").skip(1) {
            let body = exported.split("\n}\n").next().unwrap_or_default();
            let guarded = ["guard(", "guard_or(", "release("]
                .iter()
                .any(|guard| body.contains(guard));
            let is_injection = body.contains("keystile_test_panic_next");
            assert!(guarded || is_injection, "{name}: {body}");
            functions += 1;
        }
    }
    assert!(functions > 100);
}
