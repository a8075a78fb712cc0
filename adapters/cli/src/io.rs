//! The input and output of a command: standard streams and environment variables.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

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
    /// `KEYSTILE_KEY`
    pub(crate) key: Option<OsString>,
    /// `KEYSTILE_PEPPER`
    pub(crate) pepper: Option<OsString>,
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
        let _ = writeln!(self.errors, "{text}");
    }
}
