//! `cargo xtask install`: what `cargo cinstall` does, without the minutes that it takes to
//! build cargo-c.

use std::fs;
use std::path::Path;

use super::library::Library;
use crate::house::{Done, House, output};

/// Puts header, libraries, `keystile.pc` and the CMake files under a prefix.
pub(crate) fn install(house: &House, prefix: &Path) -> Done {
    let library = Library::release(house)?;
    let version = version(house)?;
    let abi = abi_version(&version);
    let lib = prefix.join("lib");
    for place in ["include", "lib/pkgconfig", "lib/cmake/keystile"] {
        let place = prefix.join(place);
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let copy = |from: &Path, to: &Path| {
        println!("installing {}", to.display());
        // Over a library that is in use nothing is written: it is replaced.
        let _ = fs::remove_file(to);
        let copied = fs::copy(from, to);
        copied
            .map(drop)
            .map_err(|error| format!("{}: {error}", to.display()))
    };
    copy(
        &house.path("include/keystile.h"),
        &prefix.join("include/keystile.h"),
    )?;
    copy(&library.archive, &lib.join("libkeystile.a"))?;
    let full = format!("libkeystile.so.{version}");
    copy(&library.shared, &lib.join(&full))?;
    link(&full, &lib.join(format!("libkeystile.so.{abi}")))?;
    link(&full, &lib.join("libkeystile.so"))?;
    copy(
        &house.path("bindings/c/cmake/keystile-config.cmake"),
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

/// The version of the package, as Cargo knows it.
pub(crate) fn version(house: &House) -> Result<String, String> {
    let id = output(
        house
            .command("cargo")
            .args(["pkgid", "--package", "keystile-capi"]),
    )?;
    let version = id.trim().rsplit(['#', '@', ':']).next();
    version
        .map(str::to_owned)
        .ok_or_else(|| "cargo pkgid gave no version".to_owned())
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
fn link(target: &str, at: &Path) -> Done {
    let _ = fs::remove_file(at);
    std::os::unix::fs::symlink(target, at).map_err(|error| format!("{}: {error}", at.display()))
}

#[cfg(not(unix))]
fn link(target: &str, at: &Path) -> Done {
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
