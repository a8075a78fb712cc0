//! Each public type of the core and of the adapters has an example in its documentation: its
//! own, or that of one of its methods. The examples are compiled and run as doc tests.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where the product must not"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the crates that are libraries for Rust.
const CRATES: [&str; 6] = [
    "src",
    "adapters/store/src",
    "adapters/redis/src",
    "adapters/http/src",
    "adapters/tower/src",
    "adapters/serve/src",
];
/// Types that no user sees: this one exists only in builds for loom.
const EXEMPT: [&str; 1] = ["Fault"];
/// Fences of code that rustdoc compiles.
const COMPILED: [&str; 4] = ["rust", "no_run", "should_panic", "compile_fail"];

#[derive(Debug, Default)]
struct Types {
    /// Each public type, and the file that defines it.
    defined: BTreeMap<String, PathBuf>,
    with_example: BTreeSet<String>,
}

impl Types {
    fn without_example(&self) -> Vec<String> {
        let lacking = |name: &str| !self.with_example.contains(name) && !EXEMPT.contains(&name);
        let missing = self.defined.iter().filter(|(name, _)| lacking(name));
        missing
            .map(|(name, file)| format!("{name} in {}", file.display()))
            .collect()
    }

    /// Reads a source line by line. All code is formatted by rustfmt, so an item starts on a
    /// line of its own, and a block ends at the indentation of its first line.
    fn read(&mut self, file: &Path, source: &str) {
        let mut lines = source.lines();
        let mut doc: Vec<&str> = Vec::new();
        // The type whose `impl` or trait the line is in, and the line that ends the block.
        let mut block: Option<(String, String, bool)> = None;
        while let Some(line) = lines.next() {
            let text = line.trim_start();
            let indent = line.strip_suffix(text).unwrap_or_default();
            if line == "mod tests {" {
                break;
            }
            if let Some(comment) = text.strip_prefix("///") {
                doc.push(comment.trim_start());
                continue;
            }
            if text.starts_with("#[") {
                let mut last = text;
                while !last.ends_with(']') {
                    last = lines.next().unwrap_or("]");
                }
                continue;
            }
            if block.as_ref().is_some_and(|(_, end, _)| line == end) {
                block = None;
            }
            if let Some((kind, name)) = public_type(text) {
                assert!(!name.is_empty(), "{}: {text}", file.display());
                if has_example(&doc) {
                    self.with_example.insert(name.clone());
                }
                if kind == "trait" {
                    block = Some((name.clone(), format!("{indent}}}"), true));
                }
                self.defined.insert(name, file.to_owned());
            } else if text.starts_with("impl ") || text.starts_with("impl<") {
                let mut header = text.to_owned();
                while !header.contains('{') {
                    header.push(' ');
                    header.push_str(lines.next().unwrap_or("{").trim_start());
                }
                block = inherent_type(&header).map(|name| (name, format!("{indent}}}"), false));
                if header.ends_with('}') {
                    block = None;
                }
            } else if let Some((name, _, is_trait)) = &block
                && is_method(text, *is_trait)
                && has_example(&doc)
            {
                self.with_example.insert(name.clone());
            }
            doc.clear();
        }
    }
}

/// The kind and the name of a public type that this line defines.
fn public_type(line: &str) -> Option<(&str, String)> {
    let (kind, rest) = line.strip_prefix("pub ")?.split_once(' ')?;
    ["struct", "enum", "union", "trait", "type"]
        .contains(&kind)
        .then(|| (kind, identifier(rest)))
}

/// The type of an `impl` that is not of a trait.
fn inherent_type(header: &str) -> Option<String> {
    let mut rest = header.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0_u32;
        let mut before = ' ';
        let end = rest.find(|c| {
            match c {
                '<' => depth = depth.saturating_add(1),
                // Not the arrow of a function's type.
                '>' if before != '-' => depth = depth.saturating_sub(1),
                _ => {}
            }
            before = c;
            depth == 0
        })?;
        rest = rest.split_at(end).1.strip_prefix('>')?;
    }
    let own = rest.split(['{']).next()?.split(" where").next()?;
    (!own.contains(" for ")).then(|| {
        let path = own.trim().split('<').next().unwrap_or_default();
        identifier(path.rsplit("::").next().unwrap_or_default())
    })
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Whether a method starts here that users can call.
fn is_method(line: &str, is_trait: bool) -> bool {
    let rest = line.strip_prefix("pub ");
    let mut rest = match rest {
        Some(rest) => rest,
        None if is_trait => line,
        None => return false,
    };
    for word in ["const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

/// Whether a doc comment shows code that rustdoc compiles.
fn has_example(doc: &[&str]) -> bool {
    let mut is_open = false;
    let mut is_compiled = false;
    for line in doc {
        match line.strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(fence) => {
                is_open = true;
                let mut words = fence.split(',').map(str::trim);
                is_compiled = fence.is_empty() || words.all(|word| COMPILED.contains(&word));
            }
            // Lines that start with `#` are compiled and not shown.
            None if is_open && is_compiled && !line.is_empty() && !line.starts_with('#') => {
                return true;
            }
            None => {}
        }
    }
    false
}

/// The types that a crate's root names, except those of other crates.
fn exported(root: &str) -> BTreeSet<String> {
    let own: BTreeSet<&str> = root
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|rest| rest.trim_end_matches(';'))
        .collect();
    let statements = root.split("\npub use ").skip(1);
    statements
        .filter_map(|rest| rest.split(';').next())
        .filter(|path| {
            path.split("::")
                .next()
                .is_some_and(|first| own.contains(first))
        })
        .flat_map(|path| path.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|name| name.starts_with(|c: char| c.is_uppercase()))
        .filter(|name| name.contains(|c: char| c.is_lowercase()))
        .map(str::to_owned)
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_public_type_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for folder in CRATES {
        let mut types = Types::default();
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        for file in &files {
            let shown = file.strip_prefix(root).unwrap();
            types.read(shown, &fs::read_to_string(file).unwrap());
        }
        // What a macro makes would not be seen above.
        let exported = exported(&fs::read_to_string(root.join(folder).join("lib.rs")).unwrap());
        assert!(!exported.is_empty(), "{folder}");
        for name in exported {
            assert!(types.defined.contains_key(&name), "{folder}: no {name}");
        }
        missing.extend(types.without_example());
    }
    assert!(
        missing.is_empty(),
        "expected an example of each public type, or of one of its methods:\n{}",
        missing.join("\n")
    );
}

/// The names of the types in a source that have no example.
fn missing_in(source: &str) -> Vec<String> {
    let mut types = Types::default();
    types.read(Path::new("a.rs"), source);
    types.without_example()
}

#[test]
fn a_type_without_an_example_is_found() {
    let shown = "/// Text.\n///\n/// ```\n/// let a = 1;\n/// ```\n";
    for kind in ["struct", "enum", "trait", "type"] {
        let item =
            format!("#[expect(\n    lint,\n    reason = \"a\"\n)]\npub {kind} New<T> {{\n}}\n");
        assert!(missing_in(&format!("{shown}{item}")).is_empty(), "{kind}");
        assert_eq!(missing_in(&item), ["New in a.rs"], "{kind}");
        // The example of the item before is not its own.
        let after = format!("{shown}pub fn other() {{}}\n\n/// Text.\n{item}");
        assert_eq!(missing_in(&after), ["New in a.rs"], "{kind}");
    }
    assert!(missing_in("pub(crate) struct Inner;\nstruct Private;\n").is_empty());
}

#[test]
fn an_example_of_a_public_method_counts() {
    let with = |header: &str, method: &str| {
        missing_in(&format!(
            "pub struct New<T>(T);\n\n{header} {{\n    /// Text.\n    ///\n    /// ```\n    /// a();\n    \
             /// ```\n    #[must_use]\n    {method} {{}}\n}}\n"
        ))
    };
    for header in [
        "impl New<u8>",
        "impl<T> New<T>",
        "impl<T: Fn() -> Vec<u8>> super::New<T>",
        "impl<T> New<T>\nwhere\n    T: Copy,\n",
    ] {
        assert!(with(header, "pub fn a(&self)").is_empty(), "{header}");
        assert!(with(header, "pub const fn a(&self)").is_empty(), "{header}");
        assert_eq!(with(header, "fn a(&self)").len(), 1, "{header}");
        assert_eq!(with(header, "pub(crate) fn a(&self)").len(), 1, "{header}");
    }
    for header in [
        "impl Clone for New<u8>",
        "impl Other",
        "impl<T> From<New<T>> for Other<T>",
    ] {
        assert_eq!(with(header, "pub fn a(&self)").len(), 1, "{header}");
    }
    let in_trait = "pub trait New {\n    /// ```\n    /// a();\n    /// ```\n    fn a(&self);\n}\n";
    assert!(missing_in(in_trait).is_empty());
    let after_it = format!("{}\npub struct Late;\n", in_trait);
    assert_eq!(missing_in(&after_it), ["Late in a.rs"]);
}

#[test]
fn only_code_that_is_compiled_and_shown_is_an_example() {
    let doc =
        |fence: &str, line: &str| format!("/// ```{fence}\n/// {line}\n/// ```\npub struct New;\n");
    for fence in ["", "rust", "no_run", "should_panic", "rust,no_run"] {
        assert!(missing_in(&doc(fence, "a();")).is_empty(), "{fence}");
    }
    for fence in ["text", "ignore", "rust,ignore", "json", "sh"] {
        assert_eq!(missing_in(&doc(fence, "a();")).len(), 1, "{fence}");
    }
    assert_eq!(missing_in(&doc("", "# a();")).len(), 1);
    assert_eq!(missing_in("/// Text.\npub struct New;\n").len(), 1);
}

#[test]
fn the_names_of_a_root_are_read() {
    let root = "mod a;\npub mod b;\npub use a::x::{First, LIMIT, second};\npub use b::Third;\n\
                pub use other::Fourth;\n#[cfg(x)]\npub use a::y::{\n    Fifth,\n    Sixth,\n};\n";
    let expected = ["Fifth", "First", "Sixth", "Third"];
    assert!(
        exported(root).iter().eq(expected.iter()),
        "{:?}",
        exported(root)
    );
}
