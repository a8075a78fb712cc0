//! Every target of `fuzz/`, for a few seconds each.

use std::fs;
use std::process::Command;

use crate::workspace::{TaskResult, Workspace, output, run as run_command, succeeds};

const SECONDS_PER_TARGET: u32 = 5;

/// Builds all targets, then runs one after another.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let toolchain = Toolchain::find(workspace);
    println!("{}", toolchain.about());
    let listed = output(toolchain.cargo_fuzz(workspace).arg("list"))?;
    let targets = targets(&listed);
    if targets.is_empty() {
        return Err("fuzz/ has no targets".to_owned());
    }
    run_command(toolchain.cargo_fuzz(workspace).arg("build"))?;
    for target in targets {
        // libFuzzer writes new inputs to the first folder, so the committed seeds come second.
        let found = workspace.target_path("fuzz-corpus").join(target);
        fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        let seeds = workspace.path("fuzz/corpus").join(target);
        let mut command = toolchain.cargo_fuzz(workspace);
        command.args(["run", target]).arg(found);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        run_command(
            command
                .arg("--")
                .arg(format!("-max_total_time={SECONDS_PER_TARGET}")),
        )?;
    }
    Ok(())
}

/// The sanitizers need unstable compiler options, which a stable compiler accepts as well
/// with `RUSTC_BOOTSTRAP`.
#[derive(Debug, Clone, Copy)]
enum Toolchain {
    Nightly,
    Bootstrap,
}

impl Toolchain {
    fn find(workspace: &Workspace) -> Self {
        let mut nightly = workspace.command("rustup");
        if succeeds(nightly.args(["run", "nightly", "cargo", "--version"])) {
            Self::Nightly
        } else {
            Self::Bootstrap
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Nightly => "with the nightly toolchain",
            Self::Bootstrap => "no nightly toolchain: with the current one and RUSTC_BOOTSTRAP=1",
        }
    }

    /// The Cargo that runs this program is not rustup's proxy, so it does not accept `+nightly`.
    fn cargo_fuzz(self, workspace: &Workspace) -> Command {
        match self {
            Self::Nightly => {
                let mut command = workspace.command("rustup");
                command.args(["run", "nightly", "cargo", "fuzz"]);
                command
            }
            Self::Bootstrap => {
                let mut command = workspace.command("cargo");
                command.env("RUSTC_BOOTSTRAP", "1").arg("fuzz");
                command
            }
        }
    }
}

/// The targets from the output of `cargo fuzz list`, one on each line.
fn targets(listed: &str) -> Vec<&str> {
    listed
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_one_a_line() {
        assert_eq!(
            targets("decision\nkey_parse\n\n"),
            ["decision", "key_parse"]
        );
        assert!(targets("\n").is_empty());
    }
}
