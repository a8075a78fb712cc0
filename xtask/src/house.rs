//! The project's folder, and how programs are run in it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a step; the error is one line for the reader of the report.
pub(crate) type Done = Result<(), String>;

/// The folder of the workspace and the Cargo that the user called.
#[derive(Debug)]
pub(crate) struct House {
    root: PathBuf,
    cargo: OsString,
}

impl House {
    /// Cargo tells a program that it runs where its package is and which Cargo it is itself.
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

    /// A place for what is built, which no version control sees.
    pub(crate) fn target_path(&self, inside: &str) -> PathBuf {
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        self.root.join(target).join(inside)
    }

    /// A command that stands in the root of the workspace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match program {
            "cargo" => Command::new(&self.cargo),
            other => Command::new(other),
        };
        command.current_dir(&self.root);
        command
    }

    /// Runs `cargo` with the words of `line`, its output streaming by.
    pub(crate) fn cargo(&self, line: &str) -> Done {
        run(self.command("cargo").args(line.split_whitespace()))
    }

    /// Runs `cargo` with the words of `line` and hands back what it printed.
    pub(crate) fn cargo_output(&self, line: &str) -> Result<String, String> {
        output(self.command("cargo").args(line.split_whitespace()))
    }
}

/// Runs a command, shown before and streaming while it runs.
pub(crate) fn run(command: &mut Command) -> Done {
    println!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}`: {status}", shown(command))),
        Err(error) => Err(format!("`{}`: {error}", shown(command))),
    }
}

/// Runs a command and hands back what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)
            .map_err(|error| format!("`{}`: {error}", shown(command))),
        Ok(output) => Err(format!("`{}`: {}", shown(command), output.status)),
        Err(error) => Err(format!("`{}`: {error}", shown(command))),
    }
}

/// Whether a command can be run and says yes; its output is of no interest.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The command as a person would type it: program names without their folder.
fn shown(command: &Command) -> String {
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
