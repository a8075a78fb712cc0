//! Commands run one after another on a store of their own, and shown without what differs
//! each time.

use std::ffi::OsString;

use jiff::Timestamp;
use keystile::KeyFormat;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::demo::Step;
use crate::failure::Failure;
use crate::program;
use crate::surroundings::Surroundings;

const ASTRAY: Failure = Failure::expected("the demo did not go as it should; please report it");

/// A walk through commands, with the variables that they left.
pub(crate) struct Walk {
    folder: TempDir,
    variables: Vec<(&'static str, Zeroizing<String>)>,
}

impl Walk {
    /// A store in a temporary folder.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("keystile-demo-")
            .tempdir()
            .map_err(|_| Failure::expected("a temporary folder cannot be made"))?;
        Ok(Self {
            folder,
            variables: Vec::new(),
        })
    }

    /// Removes the folder.
    pub(crate) fn end(self) -> Result<(), Failure> {
        self.folder
            .close()
            .map_err(|_| Failure::expected("the temporary folder cannot be removed"))
    }

    /// Runs a step, and answers how it is written and what it printed.
    pub(crate) fn take(&mut self, step: &Step) -> Result<(String, String), Failure> {
        let mut input = Zeroizing::new(String::new());
        for name in step.input {
            input.push_str(self.variable(name)?);
            input.push('\n');
        }
        let (mut output, mut errors) = (Zeroizing::new(Vec::new()), Vec::new());
        let exit = program::run(
            self.arguments(step)?,
            &mut Surroundings {
                input: &mut input.as_bytes(),
                input_is_terminal: false,
                output: &mut *output,
                errors: &mut errors,
                key: None,
                pepper: None,
            },
        );
        if exit != step.exit {
            return Err(ASTRAY);
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| ASTRAY);
        let printed = Zeroizing::new(text(&output)?);
        let remarks = text(&errors)?;
        if let Some([key, id]) = step.keeps {
            // As a shell keeps it: the key goes into the variable and is not seen.
            self.keep(key, id, printed.trim_end())?;
            Ok((written(step), self.masked(&remarks)))
        } else {
            Ok((
                written(step),
                self.masked(&format!("{remarks}{}", *printed)),
            ))
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
        known.map(|(_, value)| value.as_str()).ok_or(ASTRAY)
    }

    fn keep(&mut self, key: &'static str, id: &'static str, text: &str) -> Result<(), Failure> {
        let parsed = KeyFormat::any_structured().parse(text.as_bytes());
        let found = parsed
            .and_then(|key| key.claimed_id().copied())
            .ok_or(ASTRAY)?;
        self.variables.push((key, Zeroizing::new(text.to_owned())));
        self.variables.push((id, Zeroizing::new(found.to_string())));
        if key == "KEY" {
            self.variables.push(("TYPO", mistyped(text)));
        }
        Ok(())
    }

    /// The text with variables by their names, and instants by their distance.
    fn masked(&self, text: &str) -> String {
        // Keys first: an id is a part of its key.
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

/// The key but for its last character.
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
    format!("in {} days", seconds.saturating_add(HALF_A_DAY) / 86_400)
}

/// The step as one would type it.
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

/// Splits at spaces, but for those in double quotes.
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
