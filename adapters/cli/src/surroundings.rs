//! What a command is given of the world: standard streams and environment variables.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Standard streams, and the variables that hold secrets.
///
/// Commands read and write these and nothing else, so that the demo runs them as they are.
pub(crate) struct Surroundings<'w> {
    pub(crate) input: &'w mut dyn BufRead,
    pub(crate) input_is_terminal: bool,
    pub(crate) output: &'w mut dyn Write,
    pub(crate) errors: &'w mut dyn Write,
    /// `KEYSTILE_KEY`
    pub(crate) key: Option<OsString>,
    /// `KEYSTILE_PEPPER`
    pub(crate) pepper: Option<OsString>,
}

impl Surroundings<'_> {
    /// A JSON value on a line of its own, on standard output.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        // Wiped, since it may hold a new key.
        let mut line = Zeroizing::new(Vec::with_capacity(4_096));
        serde_json::to_writer(&mut *line, value)
            .map_err(|_| Failure::expected("a value cannot be written as JSON"))?;
        line.push(b'\n');
        Ok(self.output.write_all(&line)?)
    }

    /// A line on standard output.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        let write = |output: &mut dyn Write| -> io::Result<()> {
            output.write_all(text.as_bytes())?;
            output.write_all(b"\n")
        };
        Ok(write(self.output)?)
    }

    /// A line on standard error. Where that is closed, nobody wants to hear it.
    pub(crate) fn remark(&mut self, text: &str) {
        let _ = writeln!(self.errors, "{text}");
    }
}
