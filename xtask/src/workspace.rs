//! The project's folder, and how to run programs in it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tests_run::run_tests;

/// The result of a task or of a step; the error is one line for the reader of the report.
pub(crate) type TaskResult = Result<(), String>;

/// The workspace's root folder, and the Cargo that the user ran.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    cargo: OsString,
}

impl Workspace {
    /// Cargo passes both to a program that it runs: the package's folder and its own path.
    pub(crate) fn here() -> Self {
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| "xtask".into(), PathBuf::from);
        Self {
            root: package.parent().unwrap_or(Path::new(".")).to_owned(),
            cargo: env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// A path in the folder of build output, which is not under version control.
    pub(crate) fn target_path(&self, inside: &str) -> PathBuf {
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        self.root.join(target).join(inside)
    }

    /// A command that runs in the root of the workspace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match program {
            "cargo" => Command::new(&self.cargo),
            other => Command::new(other),
        };
        command.current_dir(&self.root);
        command
    }

    /// Runs `cargo` with the words of `line`; its output is shown as it comes.
    pub(crate) fn cargo(&self, line: &str) -> TaskResult {
        run(self.command("cargo").args(line.split_whitespace()))
    }

    /// Runs `cargo` with the words of `line`, which executes tests; the error names those that
    /// failed.
    pub(crate) fn cargo_tests(&self, line: &str) -> TaskResult {
        run_tests(self.command("cargo").args(line.split_whitespace()))
    }

    /// Runs `cargo` with the words of `line` and returns what it printed.
    pub(crate) fn cargo_output(&self, line: &str) -> Result<String, String> {
        output(self.command("cargo").args(line.split_whitespace()))
    }
}

/// The target that the compiler builds for if none is named, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host(workspace: &Workspace) -> Result<String, String> {
    let version = output(workspace.command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "expected `rustc -vV` to print its host".to_owned())
}

/// Prints a command and runs it; its output is shown as it comes.
pub(crate) fn run(command: &mut Command) -> TaskResult {
    println!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}`: {status}", shown(command))),
        Err(error) => Err(format!("`{}`: {error}", shown(command))),
    }
}

/// Runs a command and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .map_err(|error| format!("`{}`: {error}", shown(command))),
        Ok(output) => Err(format!("`{}`: {}", shown(command), output.status)),
        Err(error) => Err(format!("`{}`: {error}", shown(command))),
    }
}

/// Whether a command can be run and exits with success; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The command as a person would type it: the program's name without its folder.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default().to_string_lossy();
        words.push(format!("{}={}", name.to_string_lossy(), quoted(&value)));
    }
    let program = Path::new(command.get_program());
    words.push(
        program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    );
    words.extend(
        command
            .get_args()
            .map(|word| quoted(&word.to_string_lossy())),
    );
    words.join(" ")
}

fn quoted(word: &str) -> String {
    if word.contains(' ') {
        format!("\"{word}\"")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/some/where/cargo");
        command
            .env("RUSTDOCFLAGS", "-D warnings")
            .args(["doc", "--no-deps"]);
        assert_eq!(
            shown(&command),
            "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps"
        );
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_that_names_it() {
        let mut command = Command::new("no-such-program-here");
        assert!(!succeeds(&mut command));
        assert!(
            run(&mut command)
                .expect_err("ran")
                .starts_with("`no-such-program-here`: ")
        );
        assert!(
            output(&mut command)
                .expect_err("ran")
                .starts_with("`no-such-program-here`: ")
        );
    }
}
