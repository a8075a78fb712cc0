//! Builds `libkeystile`, and hides every symbol of its archive that is not public.

use std::fs;
use std::path::{Path, PathBuf};

use super::symbols;
use crate::workspace::{Workspace, run};

/// A built library: the shared one, and an archive that exports only the interface.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) folder: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) shared: PathBuf,
}

impl Library {
    /// As it is shipped.
    pub(crate) fn release(workspace: &Workspace) -> Result<Self, String> {
        workspace.cargo("build --package keystile-capi --release")?;
        Self::finish(workspace, "release", "release")
    }

    /// With panics on demand.
    pub(crate) fn with_panics(workspace: &Workspace) -> Result<Self, String> {
        workspace.cargo("build --package keystile-capi --features panic-injection")?;
        Self::finish(workspace, "debug", "panics")
    }

    /// With the Rust call that the C call is compared with.
    pub(crate) fn with_comparison(workspace: &Workspace) -> Result<Self, String> {
        workspace.cargo("build --package keystile-capi --release --features comparison")?;
        Self::finish(workspace, "release", "comparison")
    }

    fn finish(workspace: &Workspace, profile: &str, name: &str) -> Result<Self, String> {
        let built = workspace.target_path(profile);
        let folder = workspace.target_path("capi").join(name);
        let failed = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let shared = folder.join("libkeystile.so");
        fs::copy(built.join("libkeystile.so"), &shared).map_err(failed)?;
        let archive = folder.join("libkeystile.a");
        localise(workspace, &built.join("libkeystile.a"), &archive)?;
        Ok(Self {
            folder,
            archive,
            shared,
        })
    }
}

/// Joins the members of an archive into one that exports only `keystile_` symbols.
///
/// Two Rust archives of one compiler define the same symbols of the standard library, and a
/// program can link only one of them (rust-lang/rust#44322). `DW.ref.` symbols must stay:
/// without them a panic ends in a segmentation fault.
fn localise(workspace: &Workspace, archive: &Path, to: &Path) -> Result<(), String> {
    let object = to.with_extension("o");
    let roots = to.with_extension("roots");
    let names: Vec<String> = symbols(workspace, archive, &["-g"])?
        .into_iter()
        .filter(|name| name.starts_with("keystile_"))
        .map(|name| format!("-u {name}\n"))
        .collect();
    fs::write(&roots, names.concat()).map_err(|error| format!("{}: {error}", roots.display()))?;
    run(workspace
        .command("ld")
        .args(["-r", "--gc-sections"])
        .arg(format!("@{}", roots.display()))
        .arg(archive)
        .arg("-o")
        .arg(&object))?;
    run(workspace
        .command("objcopy")
        .args([
            "--wildcard",
            "--keep-global-symbol=keystile_*",
            "--keep-global-symbol=DW.ref.*",
            "--remove-section=.llvmbc",
            "--remove-section=.llvmcmd",
            "--strip-debug",
        ])
        .arg(&object))?;
    if to.exists() {
        fs::remove_file(to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    run(workspace.command("ar").arg("rcs").arg(to).arg(&object))
}
