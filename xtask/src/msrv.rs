//! The workspace compiles with the oldest Rust version that it names.

use std::fs;
use std::process::Command;

use crate::workspace::{TaskResult, Workspace, run as run_command, succeeds};

const MANIFEST: &str = "Cargo.toml";

/// Why that version cannot be used, or `None` if it can.
pub(crate) fn missing(workspace: &Workspace) -> Option<String> {
    let version = match oldest(workspace) {
        Ok(version) => version,
        Err(reason) => return Some(reason),
    };
    let found = succeeds(rustup(workspace, &version).arg("--version"));
    (!found).then(|| {
        format!("Rust {version} is not installed; try `rustup toolchain install {version} --profile minimal`")
    })
}

/// Compiles all libraries and programs, with all features, by that version. Tests may use
/// newer features of Rust.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let version = oldest(workspace)?;
    // A separate folder: what one version of the compiler wrote is of no use to another.
    let target = workspace.target_path("msrv");
    run_command(
        rustup(workspace, &version)
            .args(["check", "--workspace", "--all-features"])
            .env("CARGO_TARGET_DIR", target),
    )
}

/// Cargo of this version. The variables that the running Cargo set are for another one.
fn rustup(workspace: &Workspace, version: &str) -> Command {
    let mut command = workspace.command("rustup");
    command.args(["run", version, "cargo"]);
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(variable);
    }
    command
}

/// `rust-version` of the workspace.
fn oldest(workspace: &Workspace) -> Result<String, String> {
    let manifest = fs::read_to_string(workspace.path(MANIFEST))
        .map_err(|error| format!("{MANIFEST}: {error}"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .and_then(|rest| rest.strip_suffix('"'));
    let version = version.ok_or_else(|| format!("{MANIFEST}: expected `rust-version`"))?;
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_version_is_that_of_the_manifest() {
        let version = oldest(&Workspace::here()).unwrap();
        assert!(version.starts_with("1."), "{version}");
        let minor = version.split('.').nth(1).unwrap();
        assert!(minor.parse::<u32>().is_ok(), "{version}");
    }
}
