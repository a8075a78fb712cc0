//! What a step needs that a machine may lack, and how to install it.

use std::path::Path;

use crate::workspace::{Workspace, output, succeeds};
use crate::{capi, golang, msrv, postgres, redis, serve};

/// Something that a machine may lack.
#[derive(Debug)]
pub(crate) enum Need {
    /// A subcommand of Cargo, and how to install it.
    Cargo(&'static str, &'static str),
    /// A minor version of Cargo 1, or a later one.
    CargoVersion(u32),
    /// A program that accepts `--version`, and its Debian package.
    Program(&'static str, &'static str),
    /// The programs of PostgreSQL's server, in the search path or where Debian installs them.
    Postgres,
    /// Redis's server and its sentinel.
    Redis,
    /// The gateways that have an example.
    Gateways,
    /// A program that accepts `--version`, and how to install it.
    Tool(&'static str, &'static str),
    /// A C library that pkg-config knows, and its Debian package.
    Library(&'static str, &'static str),
    /// The source of the standard library.
    RustSource,
    /// The oldest Rust version that the workspace names.
    OldestRust,
    /// The Go toolchain.
    Go,
    /// The standard library of another target.
    Target(&'static str),
}

impl Need {
    /// Why the need is not met, or `None` if it is.
    pub(crate) fn missing(&self, workspace: &Workspace) -> Option<String> {
        match self {
            Self::Cargo(subcommand, install) => {
                let found = succeeds(workspace.command("cargo").args([subcommand, "--version"]));
                (!found).then(|| format!("`cargo {subcommand}` is not installed; try `{install}`"))
            }
            Self::CargoVersion(minor) => {
                let version = workspace.cargo_output("--version").unwrap_or_default();
                (cargo_minor(&version) < Some(*minor))
                    .then(|| format!("Cargo is older than 1.{minor}; try `rustup update`"))
            }
            Self::Program(program, package) => {
                let found = succeeds(workspace.command(program).arg("--version"));
                (!found)
                    .then(|| format!("`{program}` is not installed; try `apt install {package}`"))
            }
            Self::Postgres => postgres::missing(),
            Self::Redis => redis::missing(),
            Self::Gateways => serve::missing_gateway(workspace),
            Self::Tool(program, install) => {
                let found = succeeds(workspace.command(program).arg("--version"));
                (!found).then(|| format!("`{program}` is not installed; try `{install}`"))
            }
            Self::Library(library, package) => {
                let found = succeeds(workspace.command("pkg-config").args(["--exists", library]));
                (!found).then(|| format!("{library} is not installed; try `apt install {package}`"))
            }
            Self::RustSource => capi::missing_source(workspace),
            Self::OldestRust => msrv::missing(workspace),
            Self::Go => golang::missing(workspace),
            Self::Target(target) => {
                let asked = ["--print", "target-libdir", "--target", target];
                let folder = output(workspace.command("rustc").args(asked)).unwrap_or_default();
                let found = !folder.is_empty() && Path::new(folder.trim()).is_dir();
                (!found).then(|| {
                    format!("Rust's library for {target} is not installed; try `rustup target add {target}`")
                })
            }
        }
    }
}

/// The minor version in the output of `cargo --version`.
fn cargo_minor(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(1)?;
    number.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_cargo_is_read() {
        assert_eq!(
            cargo_minor("cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n"),
            Some(95)
        );
        assert_eq!(cargo_minor("cargo 1.97.0-nightly\n"), Some(97));
        assert_eq!(cargo_minor(""), None);
        let reason = Need::CargoVersion(9_999).missing(&Workspace::here());
        assert_eq!(
            reason.as_deref(),
            Some("Cargo is older than 1.9999; try `rustup update`")
        );
        assert_eq!(Need::CargoVersion(89).missing(&Workspace::here()), None);
    }

    #[test]
    fn a_missing_subcommand_is_named_with_how_to_install_it() {
        let need = Need::Cargo("no-such-subcommand", "cargo install it");
        let reason = need.missing(&Workspace::here()).expect("found");
        assert_eq!(
            reason,
            "`cargo no-such-subcommand` is not installed; try `cargo install it`"
        );
    }
}
