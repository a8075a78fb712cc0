//! Builds `libkeystile`: the shared library, and an archive that exports only the interface.

use std::fs;
use std::path::{Path, PathBuf};

use super::compile;
use super::localise::{Binutils, localise};
use crate::archives::Target;
use crate::workspace::{Workspace, output, run};

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
        let mut cargo = compile::cargo(workspace, &[])?;
        run(cargo.args(["build", "--package", "keystile-capi", "--release"]))?;
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

    /// As it is shipped for a target, which may be another one than that of this machine.
    pub(crate) fn for_target(workspace: &Workspace, target: &Target) -> Result<Self, String> {
        let mut cargo = compile::cargo(workspace, target.flags)?;
        let (command, triple) = match target.glibc {
            // Rust's own standard library needs no later one.
            Some(version) => ("zigbuild", format!("{}.{version}", target.triple)),
            None if target.is_musl() => ("zigbuild", target.triple.to_owned()),
            None => ("build", target.triple.to_owned()),
        };
        run(cargo
            .args([command, "--locked", "--package", "keystile-capi"])
            .args(["--release", "--target", &triple]))?;
        let mut also = Vec::new();
        if target.is_musl() {
            also.push(unwinder(workspace, target)?);
        }
        let built = workspace.target_path(target.triple).join("release");
        Self::localised(workspace, &built, target.name, target.binutils, &also)
    }

    /// The archive for musl, without a shared library, which would need a linker for musl.
    pub(crate) fn archive_for_musl(
        workspace: &Workspace,
        target: &Target,
    ) -> Result<PathBuf, String> {
        let mut cargo = compile::cargo(workspace, target.flags)?;
        run(cargo
            .args(["rustc", "--package", "keystile-capi", "--release"])
            .args(["--target", target.triple, "--crate-type", "staticlib"]))?;
        let folder = workspace.target_path("capi").join(target.name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let built = workspace
            .target_path(target.triple)
            .join("release/libkeystile.a");
        let archive = folder.join("libkeystile.a");
        let also = [unwinder(workspace, target)?];
        localise(workspace, target.binutils, &built, &also, &archive)?;
        Ok(archive)
    }

    fn finish(workspace: &Workspace, profile: &str, name: &str) -> Result<Self, String> {
        let built = workspace.target_path(profile);
        Self::localised(workspace, &built, name, Binutils::HERE, &[])
    }

    fn localised(
        workspace: &Workspace,
        built: &Path,
        name: &str,
        binutils: Binutils,
        also: &[PathBuf],
    ) -> Result<Self, String> {
        let folder = workspace.target_path("capi").join(name);
        let failed = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let file = match binutils.is_mach {
            true => "libkeystile.dylib",
            false => "libkeystile.so",
        };
        let shared = folder.join(file);
        fs::copy(built.join(file), &shared).map_err(failed)?;
        let archive = folder.join("libkeystile.a");
        let whole = built.join("libkeystile.a");
        localise(workspace, binutils, &whole, also, &archive)?;
        Ok(Self {
            folder,
            archive,
            shared,
        })
    }
}

/// The archive of LLVM's unwinder that Rust has for musl. Whether a C compiler for musl has one,
/// and which, differs: that of Debian is for glibc.
fn unwinder(workspace: &Workspace, target: &Target) -> Result<PathBuf, String> {
    let sysroot = output(workspace.command("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(target.triple)
        .join("lib/self-contained/libunwind.a");
    match library.exists() {
        true => Ok(library),
        false => Err(format!(
            "{} is missing; try `rustup target add {}`",
            library.display(),
            target.triple
        )),
    }
}
