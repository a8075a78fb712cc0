//! Every target of `fuzz/`, for a few seconds each.

use std::fs;
use std::process::Command;

use crate::house::{Done, House, output, run as run_command, succeeds};

const SECONDS_PER_TARGET: u32 = 5;

/// Builds all targets, then runs one after another.
pub(crate) fn run(house: &House) -> Done {
    let toolchain = Toolchain::find(house);
    println!("{}", toolchain.about());
    let listed = output(toolchain.cargo_fuzz(house).arg("list"))?;
    let targets = targets(&listed);
    if targets.is_empty() {
        return Err("fuzz/ has no targets".to_owned());
    }
    run_command(toolchain.cargo_fuzz(house).arg("build"))?;
    for target in targets {
        // libFuzzer writes what it finds to the first folder: the committed seeds come second.
        let found = house.target_path("fuzz-corpus").join(target);
        fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        let seeds = house.path("fuzz/corpus").join(target);
        let mut command = toolchain.cargo_fuzz(house);
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

/// The sanitizers need unstable compiler options; a stable compiler has them too, once told to.
#[derive(Debug, Clone, Copy)]
enum Toolchain {
    Nightly,
    Bootstrap,
}

impl Toolchain {
    fn find(house: &House) -> Self {
        let mut nightly = house.command("rustup");
        if succeeds(nightly.args(["run", "nightly", "cargo", "--version"])) {
            Self::Nightly
        } else {
            Self::Bootstrap
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Nightly => "with the nightly toolchain",
            Self::Bootstrap => "no nightly toolchain: with this one and RUSTC_BOOTSTRAP=1",
        }
    }

    /// The Cargo that runs this program is no proxy of rustup's, so `+nightly` is not for it.
    fn cargo_fuzz(self, house: &House) -> Command {
        match self {
            Self::Nightly => {
                let mut command = house.command("rustup");
                command.args(["run", "nightly", "cargo", "fuzz"]);
                command
            }
            Self::Bootstrap => {
                let mut command = house.command("cargo");
                command.env("RUSTC_BOOTSTRAP", "1").arg("fuzz");
                command
            }
        }
    }
}

/// One name a line, as `cargo fuzz list` prints them.
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
