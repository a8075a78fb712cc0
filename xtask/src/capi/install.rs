//! `cargo xtask install`: what `cargo cinstall` does, without building cargo-c, which takes
//! minutes.

use std::fs;
use std::path::Path;

use super::library::Library;
use crate::workspace::{TaskResult, Workspace, output};

/// Installs header, libraries, `keystile.pc` and the CMake files under a prefix.
pub(crate) fn install(workspace: &Workspace, prefix: &Path) -> TaskResult {
    let library = Library::release(workspace)?;
    let version = version(workspace)?;
    let abi = abi_version(&version);
    let lib = prefix.join("lib");
    for folder in ["include", "lib/pkgconfig", "lib/cmake/keystile"] {
        let folder = prefix.join(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let copy = |from: &Path, to: &Path| {
        println!("installing {}", to.display());
        // A library may be in use: it is replaced, never overwritten.
        let _ = fs::remove_file(to);
        let copied = fs::copy(from, to);
        copied
            .map(drop)
            .map_err(|error| format!("{}: {error}", to.display()))
    };
    copy(
        &workspace.path("include/keystile.h"),
        &prefix.join("include/keystile.h"),
    )?;
    copy(&library.archive, &lib.join("libkeystile.a"))?;
    let full = format!("libkeystile.so.{version}");
    copy(&library.shared, &lib.join(&full))?;
    link(&full, &lib.join(format!("libkeystile.so.{abi}")))?;
    link(&full, &lib.join("libkeystile.so"))?;
    copy(
        &workspace.path("bindings/c/cmake/keystile-config.cmake"),
        &prefix.join("lib/cmake/keystile/keystile-config.cmake"),
    )?;
    let description = lib.join("pkgconfig/keystile.pc");
    fs::write(&description, pkg_config(prefix, &version))
        .map_err(|error| format!("{}: {error}", description.display()))
}

fn pkg_config(prefix: &Path, version: &str) -> String {
    format!(
        "prefix={}\n\
         libdir=${{prefix}}/lib\n\
         includedir=${{prefix}}/include\n\n\
         Name: keystile\n\
         Description: The API-key core that any service can embed\n\
         Version: {version}\n\
         Libs: -L${{libdir}} -lkeystile\n\
         Libs.private: -lpthread -lm -ldl -lc\n\
         Cflags: -I${{includedir}}\n",
        prefix.display()
    )
}

/// The version of the package, from Cargo.
pub(crate) fn version(workspace: &Workspace) -> Result<String, String> {
    let id = output(
        workspace
            .command("cargo")
            .args(["pkgid", "--package", "keystile-capi"]),
    )?;
    let version = id.trim().rsplit(['#', '@', ':']).next();
    version
        .map(str::to_owned)
        .ok_or_else(|| "expected `cargo pkgid` to print a version".to_owned())
}

/// `0.1` of `0.1.7`, `1` of `1.2.3`: as in the soname.
fn abi_version(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        _ => version.to_owned(),
    }
}

#[cfg(unix)]
fn link(target: &str, at: &Path) -> TaskResult {
    let _ = fs::remove_file(at);
    std::os::unix::fs::symlink(target, at).map_err(|error| format!("{}: {error}", at.display()))
}

#[cfg(not(unix))]
fn link(target: &str, at: &Path) -> TaskResult {
    Err(format!("{target}: no symbolic link at {}", at.display()))
}

#[cfg(test)]
mod tests {
    use super::abi_version;

    #[test]
    fn before_1_0_the_minor_version_is_of_the_abi() {
        assert_eq!(abi_version("0.1.7"), "0.1");
        assert_eq!(abi_version("1.2.3"), "1");
    }
}
