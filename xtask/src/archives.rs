//! `cargo xtask archives`: the C library for several systems, with checksums and a bill of
//! materials, as a release has them.

mod check;
mod musl;
mod pack;
mod targets;

use std::fs;
use std::path::Path;

use crate::capi::{self, DOCUMENTS, Library, Places};
use crate::sbom::sbom;
use crate::shipped;
use crate::workspace::{TaskResult, Workspace, output};

pub(crate) use check::{check, names_no_folder};
pub(crate) use musl::check_musl;
pub(crate) use pack::{date, sha256};
pub(crate) use targets::{TARGETS, Target};

/// Builds the library for each target, and writes to the folder `to`: an archive and a bill of
/// materials for each, the archive that the Go module links, and `SHA256SUMS` of all that is there.
pub(crate) fn build(workspace: &Workspace, to: &Path, targets: &[&Target]) -> TaskResult {
    if targets.is_empty() {
        return Err("this machine can build for none of the targets; see --target".to_owned());
    }
    let version = capi::version(workspace)?;
    let rustc = output(workspace.command("rustc").arg("--version"))?;
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let to = to
        .canonicalize()
        .map_err(|error| format!("{}: {error}", to.display()))?;
    for target in targets {
        let library = Library::for_target(workspace, target)?;
        let name = format!("keystile-{version}-{}", target.name);
        let work = workspace.target_path("archives");
        let root = work.join(&name);
        empty(&root)?;
        // A folder in the archive takes the place of the prefix.
        let places = Places::new(&root, None, None)?;
        let prefix = "${pcfiledir}/../..";
        capi::install_library(workspace, &library, &places, prefix, target.triple)?;
        let crates = shipped::crates(workspace, "keystile-capi", target.triple)?;
        let bill = sbom(
            "libkeystile",
            "keystile-capi",
            target.triple,
            rustc.trim(),
            &crates,
        )?;
        let files = [
            places.to(DOCUMENTS).join("sbom.cdx.json"),
            to.join(format!("{name}.cdx.json")),
        ];
        for file in files {
            fs::write(&file, &bill).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        pack::pack(workspace, &work, &name, &to)?;
        let linked = to.join(format!("libkeystile_{}.a", target.go));
        fs::copy(&library.archive, &linked)
            .map_err(|error| format!("{}: {error}", linked.display()))?;
        println!("wrote {}", to.join(format!("{name}.tar.gz")).display());
    }
    pack::write_sums(&to)?;
    println!("\nfor the Go module, run:\n  cargo xtask go-dist --to DIRECTORY \\");
    for target in targets {
        let file = to.join(format!("libkeystile_{}.a", target.go));
        println!("    --archive {}={} \\", target.go, file.display());
    }
    Ok(())
}

fn empty(folder: &Path) -> TaskResult {
    match fs::remove_dir_all(folder) {
        Err(error) if folder.exists() => Err(format!("{}: {error}", folder.display())),
        _ => Ok(()),
    }
}
