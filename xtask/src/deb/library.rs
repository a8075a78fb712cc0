//! The packages of the C library: the shared library, and what a C program is built with.

use std::fs;

use super::Debian;
use super::control::Package;
use super::tree::Tree;
use crate::capi::{self, DOCUMENTS, Library, Places};
use crate::workspace::{TaskResult, host};

/// dpkg runs it once for all packages of one installation.
const TRIGGERS: &str = "activate-noawait ldconfig\n";

/// The two packages and their files.
pub(super) fn packages(debian: &Debian<'_>) -> Result<[(Package, Tree); 2], String> {
    let workspace = debian.workspace;
    let abi = capi::abi_version(&debian.upstream);
    let folder = format!("usr/lib/{}", debian.multiarch);
    let everything = Tree::empty(workspace.target_path("deb/everything"))?;
    let places = Places::new(
        "/usr".as_ref(),
        Some(format!("lib/{}", debian.multiarch).as_ref()),
        Some(everything.root()),
    )?;
    let library = Library::release(workspace)?;
    capi::install_library(workspace, &library, &places, "/usr", &host(workspace)?)?;

    let name = format!("libkeystile{abi}");
    let runtime = debian.tree(&name)?;
    let full = format!("{folder}/libkeystile.so.{}", debian.upstream);
    runtime.copy_stripped(workspace, &everything.root().join(&full), &full)?;
    runtime.take(&everything, &format!("{folder}/libkeystile.so.{abi}"))?;
    runtime.write("DEBIAN/triggers", TRIGGERS)?;
    let shlibs = format!("libkeystile {abi} {name} (>= {})\n", debian.upstream);
    runtime.write("DEBIAN/shlibs", &shlibs)?;

    let development = debian.tree("libkeystile-dev")?;
    for file in [
        "usr/include/keystile.h".to_owned(),
        format!("{folder}/libkeystile.a"),
        format!("{folder}/libkeystile.so"),
        format!("{folder}/pkgconfig/keystile.pc"),
        format!("{folder}/cmake/keystile/keystile-config.cmake"),
        format!("{folder}/cmake/keystile/keystile-config-version.cmake"),
    ] {
        development.take(&everything, &file)?;
    }
    let notices = everything
        .root()
        .join("usr")
        .join(DOCUMENTS)
        .join("THIRD-PARTY-NOTICES");
    let notices =
        fs::read_to_string(&notices).map_err(|error| format!("{}: {error}", notices.display()))?;
    for (tree, package) in [(&runtime, name.as_str()), (&development, "libkeystile-dev")] {
        document(debian, tree, package, &notices)?;
    }
    let depends = debian.needed(&runtime.root().join(&full))?;
    let exactly = format!("{name} (= {})", debian.version);
    Ok([
        (runtime_package(name, depends), runtime),
        (development_package(exactly), development),
    ])
}

fn document(debian: &Debian<'_>, tree: &Tree, package: &str, notices: &str) -> TaskResult {
    let to = format!("usr/share/doc/{package}/THIRD-PARTY-NOTICES");
    tree.write_gzipped(debian.workspace, &to, notices)
}

fn runtime_package(name: String, depends: String) -> Package {
    Package {
        name,
        section: "libs",
        multi_arch: "same",
        depends,
        summary: "API keys in any service - shared library",
        description: &[
            "libkeystile issues, verifies, limits, rotates and revokes API keys for\n\
             C and C++ services. It performs no I/O and has no store.",
        ],
    }
}

fn development_package(depends: String) -> Package {
    Package {
        name: "libkeystile-dev".to_owned(),
        section: "libdevel",
        multi_arch: "same",
        depends,
        summary: "API keys in any service - development files",
        description: &[
            "libkeystile issues, verifies, limits, rotates and revokes API keys for\n\
             C and C++ services. It performs no I/O and has no store.",
            "This package has the header, the archive, and the files for pkg-config and\nCMake.",
        ],
    }
}
