//! Building `libkeystile`, and hiding in its archive all that is not of the interface.

use std::fs;
use std::path::{Path, PathBuf};

use super::symbols;
use crate::house::{House, run};

/// A built library: the shared one, and an archive that shows nothing but its interface.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) place: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) shared: PathBuf,
}

impl Library {
    /// As it is shipped.
    pub(crate) fn release(house: &House) -> Result<Self, String> {
        house.cargo("build --package keystile-capi --release")?;
        Self::finish(house, "release", "release")
    }

    /// With panics on demand.
    pub(crate) fn with_panics(house: &House) -> Result<Self, String> {
        house.cargo("build --package keystile-capi --features panic-injection")?;
        Self::finish(house, "debug", "panics")
    }

    /// With the Rust call that the C call is measured beside.
    pub(crate) fn with_comparison(house: &House) -> Result<Self, String> {
        house.cargo("build --package keystile-capi --release --features comparison")?;
        Self::finish(house, "release", "comparison")
    }

    fn finish(house: &House, profile: &str, name: &str) -> Result<Self, String> {
        let built = house.target_path(profile);
        let place = house.target_path("capi").join(name);
        let failed = |error| format!("{}: {error}", place.display());
        fs::create_dir_all(&place).map_err(failed)?;
        let shared = place.join("libkeystile.so");
        fs::copy(built.join("libkeystile.so"), &shared).map_err(failed)?;
        let archive = place.join("libkeystile.a");
        localise(house, &built.join("libkeystile.a"), &archive)?;
        Ok(Self {
            place,
            archive,
            shared,
        })
    }
}

/// Joins the members of an archive into one that shows only `keystile_` symbols.
///
/// Two Rust archives of one compiler define the same symbols of the standard library, and a
/// program can link only one of them (rust-lang/rust#44322). `DW.ref.` symbols have to stay:
/// without them a panic ends in a segmentation fault.
fn localise(house: &House, archive: &Path, to: &Path) -> Result<(), String> {
    let object = to.with_extension("o");
    let roots = to.with_extension("roots");
    let names: Vec<String> = symbols(house, archive, &["-g"])?
        .into_iter()
        .filter(|name| name.starts_with("keystile_"))
        .map(|name| format!("-u {name}\n"))
        .collect();
    fs::write(&roots, names.concat()).map_err(|error| format!("{}: {error}", roots.display()))?;
    run(house
        .command("ld")
        .args(["-r", "--gc-sections"])
        .arg(format!("@{}", roots.display()))
        .arg(archive)
        .arg("-o")
        .arg(&object))?;
    run(house
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
    run(house.command("ar").arg("rcs").arg(to).arg(&object))
}
