//! What the core requires of its users: few crates, and no C compiler.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::workspace::{TaskResult, Workspace};

/// The limit on crates, the core included.
const CRATES_MAX: usize = 20;
/// Build dependencies that compile, find or bind code in other languages.
const FOREIGN_BUILDERS: [&str; 4] = ["cc", "cmake", "pkg-config", "bindgen"];

/// Checks the dependencies of the core with its default features.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let tree = workspace.cargo_output("tree --package keystile --edges normal --prefix none")?;
    let crates = crates(&tree);
    let list: Vec<String> = crates
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    println!("{} crates: {}", list.len(), list.join(", "));
    let metadata = workspace.cargo_output("metadata --format-version 1 --all-features")?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| format!("metadata: {error}"))?;
    let mut faults = Vec::new();
    if crates.len() > CRATES_MAX {
        let count = crates.len();
        faults.push(format!(
            "expected at most {CRATES_MAX} crates, found {count}"
        ));
    }
    for (name, version) in crates {
        faults.extend(foreign_code(name, version, &metadata));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("; "))
    }
}

/// Name and version of each crate in the output of `cargo tree --prefix none`, once.
fn crates(tree: &str) -> BTreeSet<(&str, &str)> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.trim_start_matches('v')))
        })
        .collect()
}

/// Each way in which a package uses code that is not Rust, as a sentence.
fn foreign_code(name: &str, version: &str, metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let Some(package) = packages
        .iter()
        .find(|p| p["name"] == name && p["version"] == version)
    else {
        return vec![format!("{name} {version} is missing in the metadata")];
    };
    let mut faults = Vec::new();
    if let Some(library) = package["links"].as_str() {
        faults.push(format!("{name} links {library}"));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let builder = dependency["name"].as_str().unwrap_or_default();
        if dependency["kind"] == "build" && FOREIGN_BUILDERS.contains(&builder) {
            faults.push(format!("{name} builds with {builder}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_crate_is_counted_once_per_version() {
        let tree = "keystile v0.1.0 (/x)\nsha2 v0.11.1\ndigest v0.11.3\nhmac v0.13.0\n\
                    digest v0.11.3 (*)\nserde_derive v1.0.0 (proc-macro)\ndigest v0.10.7\n";
        let crates = crates(tree);
        assert_eq!(crates.len(), 6);
        assert!(crates.contains(&("keystile", "0.1.0")));
        assert!(crates.contains(&("digest", "0.10.7")));
    }

    #[test]
    fn foreign_code_is_found_and_a_plain_build_script_is_not() {
        let metadata = json!({ "packages": [
            { "name": "plain", "version": "1.0.0", "links": null, "dependencies": [
                { "name": "autocfg", "kind": "build" },
                { "name": "cc", "kind": "dev" },
                { "name": "cmake", "kind": null },
            ] },
            { "name": "lib-sys", "version": "1.0.0", "links": "lib", "dependencies": [
                { "name": "cc", "kind": "build" },
            ] },
        ] });
        assert!(foreign_code("plain", "1.0.0", &metadata).is_empty());
        assert_eq!(
            foreign_code("lib-sys", "1.0.0", &metadata),
            ["lib-sys links lib", "lib-sys builds with cc"]
        );
        assert_eq!(
            foreign_code("plain", "2.0.0", &metadata),
            ["plain 2.0.0 is missing in the metadata"]
        );
    }
}
