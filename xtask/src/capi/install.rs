//! `cargo xtask install`: what `cargo cinstall` does, without building cargo-c, which takes
//! minutes.

use std::fs;
use std::path::Path;

use super::library::Library;
use super::loader;
use super::places::Places;
use crate::notices::notices;
use crate::shipped;
use crate::workspace::{TaskResult, Workspace, host, output};

/// The CMake files, which find the library from where they are.
const CMAKE: [&str; 2] = ["keystile-config.cmake", "keystile-config-version.cmake"];
/// What the name of a shared library has in it, which install(1) makes executable.
const SHARED: [&str; 2] = [".so", ".dylib"];
/// The system libraries that a program needs beside the archive.
const PRIVATE: &str = "-lpthread -lm -ldl -lc";
/// Where licences and notices are put, under the prefix.
pub(crate) const DOCUMENTS: &str = "share/doc/keystile";

/// Builds the library, installs it, and prints what has to be done next.
pub(crate) fn install(workspace: &Workspace, places: &Places) -> TaskResult {
    let library = Library::release(workspace)?;
    let prefix = places.prefix().display().to_string();
    let target = host(workspace)?;
    install_library(workspace, &library, places, &prefix, &target)?;
    println!("\n{}", loader::advice(workspace, places));
    Ok(())
}

/// Installs header, libraries, `keystile.pc`, the CMake files and the licences of a library that
/// was built for a target. `prefix` is what `keystile.pc` says.
pub(crate) fn install_library(
    workspace: &Workspace,
    library: &Library,
    places: &Places,
    prefix: &str,
    target: &str,
) -> TaskResult {
    let version = version(workspace)?;
    copy(
        &workspace.path("include/keystile.h"),
        &places.to("include/keystile.h"),
    )?;
    copy(&library.archive, &places.to_library("libkeystile.a"))?;
    let [full, abi, plain] = shared_names(&library.shared, &version);
    copy(&library.shared, &places.to_library(&full))?;
    link(&full, &places.to_library(abi))?;
    link(&full, &places.to_library(plain))?;
    for file in CMAKE {
        let from = workspace.path("bindings/c/cmake").join(file);
        copy(
            &from,
            &places.to_library(Path::new("cmake/keystile").join(file)),
        )?;
    }
    let described = pkg_config(prefix, &places.libdir().display().to_string(), &version);
    write(&places.to_library("pkgconfig/keystile.pc"), &described)?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let to = places.to(Path::new(DOCUMENTS).join(licence));
        copy(&workspace.path(licence), &to)?;
    }
    let crates = shipped::crates(workspace, "keystile-capi", target)?;
    let to = places.to(Path::new(DOCUMENTS).join("THIRD-PARTY-NOTICES"));
    write(&to, &notices("libkeystile", &crates)?)
}

/// The names of a shared library: the full one, the one that programs ask for, and the one that
/// the linker looks for.
fn shared_names(shared: &Path, version: &str) -> [String; 3] {
    let abi = abi_version(version);
    match shared.extension().is_some_and(|end| end == "dylib") {
        true => [
            format!("libkeystile.{version}.dylib"),
            format!("libkeystile.{abi}.dylib"),
            "libkeystile.dylib".to_owned(),
        ],
        false => [
            format!("libkeystile.so.{version}"),
            format!("libkeystile.so.{abi}"),
            "libkeystile.so".to_owned(),
        ],
    }
}

fn pkg_config(prefix: &str, libdir: &str, version: &str) -> String {
    format!(
        "prefix={prefix}\n\
         libdir=${{prefix}}/{libdir}\n\
         includedir=${{prefix}}/include\n\n\
         Name: keystile\n\
         Description: The API-key core that any service can embed\n\
         URL: https://github.com/keystile/keystile\n\
         License: MIT OR Apache-2.0\n\
         Version: {version}\n\
         Libs: -L${{libdir}} -lkeystile\n\
         Libs.private: {PRIVATE}\n\
         Cflags: -I${{includedir}}\n"
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
pub(crate) fn abi_version(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_owned(),
        _ => version.to_owned(),
    }
}

fn copy(from: &Path, to: &Path) -> TaskResult {
    println!("installing {}", to.display());
    make_folder_of(to)?;
    // A library may be in use: it is replaced, never overwritten.
    let _ = fs::remove_file(to);
    let copied = fs::copy(from, to);
    copied.map_err(|error| format!("{}: {error}", to.display()))?;
    let is_shared = SHARED.iter().any(|kind| {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        name.contains(kind)
    });
    set_mode(to, if is_shared { 0o755 } else { 0o644 })
}

fn write(to: &Path, text: &str) -> TaskResult {
    println!("installing {}", to.display());
    make_folder_of(to)?;
    fs::write(to, text).map_err(|error| format!("{}: {error}", to.display()))?;
    set_mode(to, 0o644)
}

/// Makes the folder, and those above it, so that everyone can read what is in them. Folders that
/// were there keep their modes.
fn make_folder_of(file: &Path) -> TaskResult {
    let folder = file.parent().unwrap_or(file);
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    make_folder_of(folder)?;
    fs::create_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    set_mode(folder, 0o755)
}

/// Sets the mode, which would otherwise be that of the source, or of the umask of who installs.
#[cfg(unix)]
fn set_mode(at: &Path, mode: u32) -> TaskResult {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(at, fs::Permissions::from_mode(mode))
        .map_err(|error| format!("{}: {error}", at.display()))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> TaskResult {
    Ok(())
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
    use super::*;

    #[test]
    fn before_1_0_the_minor_version_is_of_the_abi() {
        assert_eq!(abi_version("0.1.7"), "0.1");
        assert_eq!(abi_version("1.2.3"), "1");
    }

    #[test]
    fn a_shared_library_is_named_as_its_system_does() {
        let names = |file: &str| shared_names(Path::new(file), "0.1.7");
        let linux = [
            "libkeystile.so.0.1.7",
            "libkeystile.so.0.1",
            "libkeystile.so",
        ];
        assert_eq!(names("target/libkeystile.so"), linux);
        assert_eq!(names("libkeystile.dylib")[1], "libkeystile.0.1.dylib");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_installed_can_be_read_whatever_the_source_is() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        let from = folder.path().join("source");
        fs::write(&from, "x").expect("a source");
        fs::set_permissions(&from, fs::Permissions::from_mode(0o600)).expect("a mode");
        for (name, expected) in [
            ("a/b/keystile.h", 0o644),
            ("a/l/libkeystile.so.0.1.0", 0o755),
        ] {
            let to = folder.path().join(name);
            copy(&from, &to).expect("a copy");
            assert_eq!(mode(&to), expected, "{name}");
        }
        let text = folder.path().join("c/d/keystile.pc");
        write(&text, "x").expect("a text");
        assert_eq!(mode(&text), 0o644);
        for inside in ["a", "a/b", "a/l", "c", "c/d"] {
            assert_eq!(mode(&folder.path().join(inside)), 0o755, "{inside}");
        }
    }

    #[test]
    fn cmake_is_given_the_version_of_the_package() {
        let workspace = Workspace::here();
        let file = workspace.path("bindings/c/cmake/keystile-config-version.cmake");
        let text = fs::read_to_string(file).expect("the file");
        let version = version(&workspace).expect("a version");
        assert!(text.contains(&format!("set(PACKAGE_VERSION \"{version}\")")));
    }
}
