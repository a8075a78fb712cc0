//! A script of commands on a temporary store. Its output is the same on every run: keys, ids
//! and dates are replaced by names.

use std::ffi::OsString;

use jiff::Timestamp;
use keystile::KeyFormat;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::io::{Io, NoteFormat};

const UNEXPECTED: Failure =
    Failure::expected("a step of the demo had an unexpected result; please report it");

/// Runs a command line and returns its exit code.
pub(crate) type Program = fn(Vec<OsString>, &mut Io<'_>) -> u8;

/// A step of a script. What is shown is what is run.
pub(crate) struct Step {
    /// What it shows; empty if it continues the step before.
    pub(crate) title: &'static str,
    /// The variables that are sent on standard input, one per line.
    pub(crate) input: &'static [&'static str],
    /// The arguments, with double quotes and variables as in a shell.
    pub(crate) command: &'static str,
    /// The variables that the new key and its id are assigned to.
    pub(crate) keeps: Option<[&'static str; 2]>,
    /// The expected exit code; with any other, the script fails.
    pub(crate) exit: u8,
}

impl Step {
    pub(crate) const fn new(title: &'static str, command: &'static str, exit: u8) -> Self {
        let (input, keeps): (&[&str], _) = (&[], None);
        Self {
            title,
            input,
            command,
            keeps,
            exit,
        }
    }

    pub(crate) const fn keeps(self, variables: [&'static str; 2]) -> Self {
        Self {
            keeps: Some(variables),
            ..self
        }
    }

    pub(crate) const fn with(self, input: &'static [&'static str]) -> Self {
        Self { input, ..self }
    }
}

/// The state of a script: its store, and the variables that its steps have set.
pub(crate) struct Script {
    program: Program,
    folder: TempDir,
    variables: Vec<(&'static str, Zeroizing<String>)>,
}

impl Script {
    /// A script whose store is in a temporary directory.
    pub(crate) fn new(program: Program) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("keystile-demo-")
            .tempdir()
            .map_err(|_| Failure::expected("cannot create a temporary directory"))?;
        Ok(Self {
            program,
            folder,
            variables: Vec::new(),
        })
    }

    /// Removes the directory.
    pub(crate) fn close(self) -> Result<(), Failure> {
        self.folder
            .close()
            .map_err(|_| Failure::expected("cannot remove the temporary directory"))
    }

    /// Runs a step. Returns its command line as a user would type it, and what it printed.
    pub(crate) fn run(&mut self, step: &Step) -> Result<(String, String), Failure> {
        let mut input = Zeroizing::new(String::new());
        for name in step.input {
            input.push_str(self.variable(name)?);
            input.push('\n');
        }
        let (mut output, mut errors) = (Zeroizing::new(Vec::new()), Vec::new());
        let exit = (self.program)(
            self.arguments(step)?,
            &mut Io {
                input: &mut input.as_bytes(),
                input_is_terminal: false,
                errors_are_terminal: false,
                output: &mut *output,
                errors: &mut errors,
                key: None,
                pepper: None,
                notes: NoteFormat::Text,
            },
        );
        if exit != step.exit {
            return Err(UNEXPECTED);
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| UNEXPECTED);
        let printed = Zeroizing::new(text(&output)?);
        let notes = text(&errors)?;
        if let Some([key, id]) = step.keeps {
            // As in a shell, the key goes into the variable and is not printed.
            self.keep(key, id, printed.trim_end())?;
            Ok((written(step), self.masked(&notes)))
        } else {
            Ok((written(step), self.masked(&format!("{notes}{}", *printed))))
        }
    }

    fn arguments(&self, step: &Step) -> Result<Vec<OsString>, Failure> {
        let path = self.folder.path().join("keys.db");
        let mut store = OsString::from("sqlite:");
        store.push(path);
        let mut arguments = vec!["keystile".into(), "--store".into(), store];
        for word in words(step.command) {
            arguments.push(match word.strip_prefix('$') {
                Some(name) => self.variable(name)?.into(),
                None => word.into(),
            });
        }
        Ok(arguments)
    }

    fn variable(&self, name: &str) -> Result<&str, Failure> {
        let known = self.variables.iter().find(|(known, _)| *known == name);
        known.map(|(_, value)| value.as_str()).ok_or(UNEXPECTED)
    }

    fn keep(&mut self, key: &'static str, id: &'static str, text: &str) -> Result<(), Failure> {
        let parsed = KeyFormat::any_structured().parse(text.as_bytes());
        let found = parsed
            .and_then(|key| key.claimed_id().copied())
            .ok_or(UNEXPECTED)?;
        self.variables.push((key, Zeroizing::new(text.to_owned())));
        self.variables.push((id, Zeroizing::new(found.to_string())));
        if key == "KEY" {
            self.variables.push(("TYPO", mistyped(text)));
        }
        Ok(())
    }

    /// The text with values replaced by the names of their variables, and dates by their
    /// distance from now.
    fn masked(&self, text: &str) -> String {
        // Keys before ids, since a key contains its id.
        let mut variables: Vec<_> = self.variables.iter().collect();
        variables.sort_by_key(|(_, value)| core::cmp::Reverse(value.len()));
        let mut masked = text.to_owned();
        for (name, value) in variables {
            masked = masked.replace(value.as_str(), &format!("${name}"));
        }
        masked
            .split_inclusive(['\n', ' '])
            .map(|word| {
                let bare = word.trim_end();
                let distance = bare.parse().ok().map(distance);
                distance.map_or(word.to_owned(), |distance| word.replace(bare, &distance))
            })
            .collect()
    }
}

/// The key with another last character.
fn mistyped(key: &str) -> Zeroizing<String> {
    let mut typo = Zeroizing::new(key.to_owned());
    let last = typo.pop();
    typo.push(if last == Some('0') { '1' } else { '0' });
    typo
}

fn distance(instant: Timestamp) -> String {
    const HALF_A_DAY: i64 = 43_200;
    let seconds = instant
        .as_second()
        .saturating_sub(Timestamp::now().as_second());
    match seconds.saturating_add(HALF_A_DAY) / 86_400 {
        0 => "today".to_owned(),
        days => format!("in {days} days"),
    }
}

/// The command line of a step, as a user would type it.
fn written(step: &Step) -> String {
    let command = format!("keystile {}", step.command);
    let quoted: Vec<String> = step
        .input
        .iter()
        .map(|name| format!("\"${name}\""))
        .collect();
    match (step.keeps, &*quoted) {
        (Some([key, _]), _) => format!("{key}=$({command})"),
        (None, []) => command,
        (None, [one]) => format!("echo {one} | {command}"),
        (None, several) => format!("printf '%s\\n' {} | {command}", several.join(" ")),
    }
}

/// Splits at spaces that are not in double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    words
}
