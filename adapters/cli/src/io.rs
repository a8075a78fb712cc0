//! The input and output of a command: standard streams and environment variables.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

use keystile::UnixMillis;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Standard streams, and the environment variables that hold secrets.
///
/// Commands use only these, so that the demo can run them unchanged.
pub(crate) struct Io<'w> {
    pub(crate) input: &'w mut dyn BufRead,
    pub(crate) input_is_terminal: bool,
    pub(crate) output: &'w mut dyn Write,
    pub(crate) errors: &'w mut dyn Write,
    pub(crate) errors_are_terminal: bool,
    /// `KEYSTILE_KEY`
    pub(crate) key: Option<OsString>,
    /// `KEYSTILE_PEPPER`
    pub(crate) pepper: Option<OsString>,
    /// How lines on standard error are written.
    pub(crate) notes: NoteFormat,
}

/// How lines on standard error are written. A program that reads them as JSON must not find
/// any other line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NoteFormat {
    /// For people.
    #[default]
    Text,
    /// An object with `note` or `error`, for `--json`.
    Json,
    /// As the lines of the log in JSON, for `serve --log-format json`.
    Log,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'t> {
    Note(&'t str),
    Error(&'t str),
}

/// As the lines that `tracing-subscriber` writes.
#[derive(Serialize)]
struct LogLine<'t> {
    timestamp: String,
    level: &'static str,
    fields: LogFields<'t>,
    target: &'static str,
}

#[derive(Serialize)]
struct LogFields<'t> {
    message: &'t str,
}

impl Io<'_> {
    /// Prints a JSON value as a line on standard output.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        // Wiped, since it may contain a new key.
        let mut line = Zeroizing::new(Vec::with_capacity(4_096));
        serde_json::to_writer(&mut *line, value)
            .map_err(|_| Failure::expected("cannot write a value as JSON; please report it"))?;
        line.push(b'\n');
        Ok(self.output.write_all(&line)?)
    }

    /// Prints a line on standard output.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let write = |output: &mut dyn Write| -> io::Result<()> {
            output.write_all(text.as_bytes())?;
            output.write_all(b"\n")
        };
        Ok(write(self.output)?)
    }

    /// Prints a line on standard error, if that is open.
    pub(crate) fn note(&mut self, text: &str) {
        let line = match self.notes {
            NoteFormat::Text => Some(text.to_owned()),
            NoteFormat::Json => serde_json::to_string(&Line::Note(bare(text))).ok(),
            NoteFormat::Log => log_line("INFO", bare(text)),
        };
        self.write_note(line);
    }

    /// Prints why the command failed, on standard error if that is open.
    pub(crate) fn error(&mut self, text: &str) {
        let line = match self.notes {
            NoteFormat::Text => Some(format!("keystile: {text}")),
            NoteFormat::Json => serde_json::to_string(&Line::Error(text)).ok(),
            NoteFormat::Log => log_line("ERROR", text),
        };
        self.write_note(line);
    }

    fn write_note(&mut self, line: Option<String>) {
        // In one write, so that lines of several threads do not mix.
        let line = line.unwrap_or_default() + "\n";
        let _ = self.errors.write_all(line.as_bytes());
    }
}

/// A line of the log in JSON.
pub(crate) fn log_line(level: &'static str, message: &str) -> Option<String> {
    let now = UnixMillis::now().map(keystile_serve::rfc3339);
    serde_json::to_string(&LogLine {
        timestamp: now.unwrap_or_default(),
        level,
        fields: LogFields { message },
        target: "keystile",
    })
    .ok()
}

/// A note without the name of the program and the indentation, which are for people.
fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("keystile: ").unwrap_or(text)
}
