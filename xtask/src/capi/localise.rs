//! Hides every symbol of an archive that is not part of the interface.
//!
//! Two Rust archives of one compiler define the same symbols of the standard library, and a
//! program can link only one of them (rust-lang/rust#44322).

use std::fs;
use std::path::{Path, PathBuf};

use super::symbols;
use crate::workspace::{TaskResult, Workspace, run};

/// The programs that join objects of one kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binutils {
    /// What their names begin with, such as `aarch64-linux-gnu-`.
    pub(crate) prefix: &'static str,
    pub(crate) is_mach: bool,
}

impl Binutils {
    /// Those of this machine.
    pub(crate) const HERE: Self = Self {
        prefix: "",
        is_mach: cfg!(target_os = "macos"),
    };

    fn program(self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Joins the members of an archive into one that exports only `keystile_` symbols. `also` are
/// archives whose members are joined too if they are needed.
pub(crate) fn localise(
    workspace: &Workspace,
    binutils: Binutils,
    archive: &Path,
    also: &[PathBuf],
    to: &Path,
) -> TaskResult {
    let object = to.with_extension("o");
    match binutils.is_mach {
        true => join_mach(workspace, archive, &object)?,
        false => join_elf(workspace, binutils, archive, also, &object)?,
    }
    if to.exists() {
        fs::remove_file(to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    // `D` writes neither a time nor an owner; Apple's program has no such flag.
    let flags = match binutils.is_mach {
        true => "rcs",
        false => "rcsD",
    };
    run(workspace
        .command(&binutils.program("ar"))
        .arg(flags)
        .arg(to)
        .arg(&object))
}

/// `DW.ref.` symbols must stay: without them a panic ends in a segmentation fault.
fn join_elf(
    workspace: &Workspace,
    binutils: Binutils,
    archive: &Path,
    also: &[PathBuf],
    object: &Path,
) -> TaskResult {
    let roots = object.with_extension("roots");
    let nm = binutils.program("nm");
    let names: Vec<String> = symbols(workspace, &nm, archive, &["-g"])?
        .into_iter()
        .filter(|name| name.starts_with("keystile_"))
        .map(|name| format!("-u {name}\n"))
        .collect();
    fs::write(&roots, names.concat()).map_err(|error| format!("{}: {error}", roots.display()))?;
    run(workspace
        .command(&binutils.program("ld"))
        .args(["-r", "--gc-sections"])
        .arg(format!("@{}", roots.display()))
        .arg("--start-group")
        .arg(archive)
        .args(also)
        .arg("--end-group")
        .arg("-o")
        .arg(object))?;
    run(workspace
        .command(&binutils.program("objcopy"))
        .args([
            "--wildcard",
            "--keep-global-symbol=keystile_*",
            "--keep-global-symbol=DW.ref.*",
            "--remove-section=.llvmbc",
            "--remove-section=.llvmcmd",
            "--strip-debug",
        ])
        .arg(object))
}

/// With `-r`, Apple's linker makes what is not exported local to the object.
fn join_mach(workspace: &Workspace, archive: &Path, object: &Path) -> TaskResult {
    run(workspace
        .command("ld")
        .args(["-r", "-all_load", "-exported_symbol", "_keystile_*"])
        .arg(archive)
        .arg("-o")
        .arg(object))?;
    run(workspace.command("strip").arg("-S").arg(object))
}
