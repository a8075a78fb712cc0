//! The keys that a command reads: from standard input, one per line, or from `KEYSTILE_KEY`.
//!
//! Never from an argument: every user of a machine can see the arguments of all programs.

use std::ffi::OsString;
use std::io::{BufRead, ErrorKind};

use keystile::KEY_TEXT_BYTES_MAX;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::io::Io;

/// The environment variable.
pub(crate) const VARIABLE: &str = "KEYSTILE_KEY";

/// Presented keys, read one at a time. If a line is too long, only enough of it is kept to
/// show that.
pub(crate) struct KeyInput {
    /// The value of `KEYSTILE_KEY`, until it is read.
    variable: Option<OsString>,
    /// The current line, in one allocation: a buffer that grows leaves unwiped copies.
    line: Zeroizing<Vec<u8>>,
    answered: bool,
    ended: bool,
}

impl KeyInput {
    /// The key in the variable if it is set, otherwise those on standard input.
    pub(crate) fn new(io: &mut Io<'_>) -> Self {
        let variable = io.key.take().filter(|key| !key.is_empty());
        if variable.is_none() && io.input_is_terminal {
            io.note("Enter one or more keys, one per line; finish with Ctrl-D.");
        }
        Self {
            variable,
            line: Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX)),
            answered: false,
            ended: false,
        }
    }

    /// The next key, without its line ending. Empty input is one empty key, so that there is
    /// always an answer.
    pub(crate) fn next(&mut self, input: &mut dyn BufRead) -> Result<Option<&[u8]>, Failure> {
        if self.ended {
            return Ok(None);
        }
        self.line.clear();
        let found = match self.variable.take() {
            Some(key) => {
                self.ended = true;
                keep(&mut self.line, key.as_encoded_bytes());
                true
            }
            None => read_line(input, &mut self.line)?,
        };
        if !found {
            self.ended = true;
            if self.answered {
                return Ok(None);
            }
        }
        self.answered = true;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// Longer than any key, including the line ending.
const LINE_BYTES_MAX: usize = KEY_TEXT_BYTES_MAX + 3;

/// Reads a line with its ending, and keeps its first bytes. Returns whether there was one.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut found = false;
    loop {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Err(Failure::expected("cannot read standard input")),
        };
        if bytes.is_empty() {
            return Ok(found);
        }
        found = true;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(bytes.len(), |end| end.saturating_add(1));
        keep(line, bytes.get(..taken).unwrap_or_default());
        input.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

fn keep(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LINE_BYTES_MAX.saturating_sub(line.len());
    line.extend(bytes.iter().take(room));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::NoteFormat;

    fn read_all(key: Option<&str>, mut input: &[u8]) -> Vec<Vec<u8>> {
        let mut nothing: &[u8] = b"";
        let mut io = Io {
            input: &mut nothing,
            input_is_terminal: false,
            errors_are_terminal: false,
            output: &mut Vec::new(),
            errors: &mut Vec::new(),
            key: key.map(OsString::from),
            pepper: None,
            notes: NoteFormat::Text,
        };
        let mut keys = KeyInput::new(&mut io);
        let mut all = Vec::new();
        while let Some(key) = keys.next(&mut input).unwrap() {
            all.push(key.to_vec());
        }
        all
    }

    #[test]
    fn lines_are_keys() {
        for (input, keys) in [
            ("", vec![""]),
            ("\n", vec![""]),
            ("a", vec!["a"]),
            ("a\n", vec!["a"]),
            ("a\r\nb", vec!["a", "b"]),
            ("a\n\nb\n", vec!["a", "", "b"]),
            (" a \n", vec![" a "]),
            ("a\rb\n", vec!["a\rb"]),
        ] {
            let keys: Vec<Vec<u8>> = keys
                .into_iter()
                .map(|key| key.as_bytes().to_vec())
                .collect();
            assert_eq!(read_all(None, input.as_bytes()), keys, "{input:?}");
        }
    }

    #[test]
    fn the_variable_is_one_key_and_input_is_not_read() {
        assert_eq!(read_all(Some("k"), b"a\nb"), [b"k"]);
        assert_eq!(read_all(Some("k\n"), b""), [b"k"]);
        assert_eq!(read_all(Some(""), b"a"), [b"a"]);
    }

    #[test]
    fn long_lines_are_cut_after_the_length_of_a_key() {
        let mut input = vec![b'x'; 1 << 20];
        input.extend(b"\nshort\n");
        let keys = read_all(None, &input);
        assert_eq!(keys.len(), 2);
        assert!(keys[0].len() > KEY_TEXT_BYTES_MAX && keys[0].len() < 300);
        assert_eq!(keys[1], b"short");
        // One byte too long stays too long, and the longest stays as it is.
        for length in [255, 256, 257, 258, 259, 260] {
            for end in ["", "\n", "\r\n"] {
                let line = [&vec![b'x'; length][..], end.as_bytes()].concat();
                let kept = read_all(None, &line).remove(0);
                assert_eq!(
                    kept.len() <= KEY_TEXT_BYTES_MAX,
                    length <= 256,
                    "{length} {end:?}"
                );
                assert!(length > 256 || kept.len() == length);
            }
        }
    }
}
