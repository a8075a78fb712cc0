//! The ABI: what the library exports is what the header declares, and what it was before.

use std::fs;

use super::library::Library;
use super::prototypes::Header;
use super::symbols;
use crate::house::{Done, House, run};

/// The ABI of the last release, as libabigail writes it.
const BASELINE: &str = "bindings/c/abi/keystile.abi";

/// Holds the exported symbols against the header, and the types against the baseline.
pub(crate) fn compare(house: &House) -> Done {
    let library = Library::release(house)?;
    let mut declared: Vec<String> = Header::read(house)?
        .functions
        .into_iter()
        .map(|function| function.name)
        .collect();
    declared.sort();
    let mut exported = symbols(house, &library.shared, &["-D"])?;
    if exported != declared {
        exported.retain(|name| !declared.contains(name));
        return Err(format!(
            "the shared library and the header differ; not in the header: {exported:?}"
        ));
    }
    println!("{} functions, all of them and no others", declared.len());
    let shown = symbols(house, &library.archive, &["-g"])?;
    let others = shown
        .iter()
        .filter(|name| !declared.contains(name) && !name.starts_with("DW.ref."));
    if others.clone().count() > 0 {
        return Err(format!(
            "the archive shows {:?}",
            others.collect::<Vec<_>>()
        ));
    }
    let debug = Library::debug(house)?;
    // New functions are no break; all else is.
    run(house
        .command("abidiff")
        .args(["--no-added-syms", "--fail-no-debug-info"])
        .arg(BASELINE)
        .arg(&debug.shared))
}

/// `cargo xtask abi-baseline`: what is built now is what later versions are held against.
pub(crate) fn baseline(house: &House) -> Done {
    let debug = Library::debug(house)?;
    let path = house.path(BASELINE);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    run(house
        .command("abidw")
        .args([
            "--no-corpus-path",
            "--no-comp-dir-path",
            "--no-show-locs",
            "--no-parameter-names",
            "--drop-undefined-syms",
            "--exported-interfaces-only",
            "--out-file",
        ])
        .arg(&path)
        .arg(&debug.shared))
}
