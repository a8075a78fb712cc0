//! Runs the program in a temporary directory.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a store, in which the program is run.
pub(crate) struct Keystile {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Keystile {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            variables: Vec::new(),
        }
    }

    /// The same directory with an environment variable.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The names of the files in the directory, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keystile"));
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_remove("KEYSTILE_STORE")
            .env_remove("KEYSTILE_KEY")
            .env_remove("KEYSTILE_PEPPER")
            // No backtrace may be printed, even if one is requested.
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.feed(arguments, b"")
    }

    /// Runs it with a text on standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut child = self.command(arguments).spawn().expect("it starts");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // It may exit before it has read everything.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("it ends");
        writer.join().unwrap();
        Ran {
            code: output.status.code().expect("it is not killed"),
            output: String::from_utf8(output.stdout).expect("text"),
            errors: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Issues a key; returns the key and its id.
    pub(crate) fn issue(&self, arguments: &[&str]) -> (String, String) {
        let issued =
            self.object(&[&["issue", "--client", "Acme Ltd", "--json"], arguments].concat());
        (text(&issued, "key"), text(&issued, "key_id"))
    }

    /// Verifies one key; returns the exit code and the object.
    pub(crate) fn verify(&self, key: &str, arguments: &[&str]) -> (i32, Value) {
        let ran = self.feed(&[&["verify", "--json"], arguments].concat(), key.as_bytes());
        assert_eq!(ran.errors, "");
        (
            ran.code,
            serde_json::from_str(&ran.output).expect("one object"),
        )
    }

    /// The code of a denial, or "allow".
    pub(crate) fn decision(&self, key: &str, arguments: &[&str]) -> String {
        let (exit, answer) = self.verify(key, arguments);
        let decision = text(&answer, "decision");
        assert_eq!(exit, i32::from(decision != "allow"));
        if decision == "allow" {
            decision
        } else {
            text(&answer, "code")
        }
    }

    /// The one object that a command prints.
    pub(crate) fn object(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.errors.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&ran.output).expect("one object")
    }

    /// The objects that a command prints, one per line.
    pub(crate) fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.errors.as_str()), (0, ""), "{arguments:?}");
        ran.output
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object a line"))
            .collect()
    }

    /// Everything that the store contains, for comparison.
    pub(crate) fn contents(&self) -> (Vec<Value>, Vec<Value>) {
        (
            self.objects(&["list", "--json"]),
            self.objects(&["events", "--json"]),
        )
    }
}

/// A field that is text.
pub(crate) fn text(object: &Value, field: &str) -> String {
    object
        .get(field)
        .and_then(Value::as_str)
        .expect("a text")
        .to_owned()
}
