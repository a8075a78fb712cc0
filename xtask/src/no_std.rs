//! The core without the standard library: the attribute, the dependencies and the build.

use std::fs;
use std::path::Path;

use crate::workspace::{TaskResult, Workspace, output};

/// Targets that have no standard library; a build for any one of them proves the claim.
const BARE_TARGETS: [&str; 4] = [
    "thumbv7em-none-eabi",
    "riscv32imac-unknown-none-elf",
    "x86_64-unknown-none",
    "wasm32v1-none",
];

/// Checks that the core declares `no_std`, depends on no `std` and builds.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let lib = fs::read_to_string(workspace.path("src/lib.rs"))
        .map_err(|error| format!("src/lib.rs: {error}"))?;
    if !declares_no_std(&lib) {
        return Err("src/lib.rs: expected `#![no_std]`".to_owned());
    }
    let tree = workspace.cargo_output(
        "tree --package keystile --no-default-features --edges normal --prefix none --format {p}|{f}",
    )?;
    let with_std = with_std(&tree);
    if !with_std.is_empty() {
        let packages = with_std.join(", ");
        return Err(format!(
            "expected no dependency with the feature `std`: {packages}"
        ));
    }
    let build = "build --package keystile --no-default-features";
    match BARE_TARGETS
        .iter()
        .find(|target| is_installed(workspace, target))
    {
        Some(target) => workspace.cargo(&format!("{build} --target {target}")),
        None => {
            println!("no bare-metal target is installed: building for this machine");
            workspace.cargo(build)
        }
    }
}

fn is_installed(workspace: &Workspace, target: &str) -> bool {
    let mut rustc = workspace.command("rustc");
    output(rustc.args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Whether the attribute is there without a condition, on its own line.
fn declares_no_std(source: &str) -> bool {
    source.lines().any(|line| line.trim_end() == "#![no_std]")
}

/// The packages in a tree of `package|features` lines that have `std` enabled.
fn with_std(tree: &str) -> Vec<&str> {
    let mut packages: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").rsplit_once('|'))
        .filter(|(_, features)| features.split(',').any(|feature| feature == "std"))
        .map(|(package, _)| package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_must_be_unconditional() {
        assert!(declares_no_std(
            "//! Text.\n\n#![no_std]\n#![forbid(unsafe_code)]\n"
        ));
        assert!(!declares_no_std("//! It is `#![no_std]`.\n"));
        assert!(!declares_no_std("// #![no_std]\n"));
        assert!(!declares_no_std(
            "#![cfg_attr(not(feature = \"std\"), no_std)]\n"
        ));
    }

    #[test]
    fn a_dependency_with_std_is_named_once() {
        let tree = "keystile v0.1.0 (/x)|\nhex v0.4.3|alloc,std\nsha2 v0.11.1|\n\
                    hex v0.4.3|alloc,std (*)\nbase64ct v1.8.3|alloc\nserde v1.0.0|std (*)\n";
        assert_eq!(with_std(tree), ["hex v0.4.3", "serde v1.0.0"]);
    }
}
