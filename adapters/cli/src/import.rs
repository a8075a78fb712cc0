//! `keystile import`: the lines of an export, into a store.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use clap::Args;
use keystile::{Millis, UnixMillis};
use keystile_store::{IMPORT_LINES_MAX, Importer, LINE_BYTES_MAX, LineReport, LineResult, Store};
use serde::Serialize;

use crate::config::Config;
use crate::duration;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::issue::lifetimes;
use crate::progress::Progress;
use crate::values;

/// Write the lines of an export to the store.
///
/// It adds keys, and changes none: what the store has with other content, or remembers as
/// revoked or removed, stays, and the line is reported as a conflict. A derived key needs its
/// source; if that is a later line, it is imported at the end. 500 lines at a time are written
/// together. If it stops, run it again: lines that are there already are counted, and not
/// written again.
///
/// Prints each line that was not imported, and the counts. With --json, each line is an object
/// with line, key_id, result (imported, present, conflict or refused), field and expected; the
/// last one has the counts. The exit code is 1 if a line was a conflict or refused, or if the
/// closing line of the export is missing.
///
/// Example:
///   keystile import keys.jsonl --dry-run
///   keystile export --with-digests | keystile import - --store postgres://localhost/keys
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ImportArguments {
    /// The export, or - for standard input.
    #[arg(value_name = "FILE", value_parser = values::file)]
    file: PathBuf,
    /// Write nothing, and report the same.
    #[arg(long)]
    dry_run: bool,
    /// The longest lifetime that a key may have; one that never expires is refused then.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    max_lifetime: Option<Millis>,
}

/// A line of the report.
#[derive(Serialize)]
struct Reported<'r> {
    line: u64,
    key_id: Option<&'r str>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'r str>,
}

/// How many lines became what.
#[derive(Default, Serialize)]
struct Counts {
    imported: u64,
    present: u64,
    conflict: u64,
    refused: u64,
    /// Whether the export is whole, by its closing line.
    whole: bool,
    dry_run: bool,
}

/// Carries out `keystile import`.
pub(crate) async fn run(
    arguments: &ImportArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let policy = lifetimes(None, arguments.max_lifetime)?;
    let from_input = arguments.file.as_os_str() == "-";
    let mut file = match from_input {
        true => None,
        false => {
            let file = File::open(&arguments.file).map_err(|_| UNREAD)?;
            Some(BufReader::new(file))
        }
    };
    // A dry run creates no file either.
    let opened = match arguments.dry_run {
        true => config.open().await?,
        false => config.open_to_issue().await?,
    };
    opened.note_if_new(io);
    let store = opened.store.acting_as(&config.by);
    let mut importer = Importer::new(&store, policy);
    if arguments.dry_run {
        importer = importer.dry_run();
    }
    let mut counts = Counts {
        dry_run: arguments.dry_run,
        ..Counts::default()
    };
    let mut progress = Progress::new("imported", io);
    let mut lines = Lines::default();
    let mut is_last = false;
    while !is_last {
        let read = match &mut file {
            Some(file) => lines.read(file),
            None => lines.read(io.input),
        };
        is_last = read.map_err(|_| UNREAD)?;
        let imported = importer.import(&lines.numbered(), UnixMillis::now()?).await;
        let report = imported.map_err(|error| interrupted(&counts, error.into()))?;
        for line in &report {
            counts.add(line);
            print(line, config, io)?;
        }
        progress.show(counts.all(), io);
    }
    let late = importer.finish(UnixMillis::now()?).await;
    for line in &late.map_err(|error| interrupted(&counts, error.into()))? {
        counts.add(line);
        print(line, config, io)?;
    }
    counts.whole = importer.is_whole();
    if config.json {
        io.json(&counts)?;
    } else {
        io.line(&counts.to_string())?;
    }
    if !counts.whole {
        io.note(
            "keystile: the export has no closing line, or lines are missing before it: keys, and \
             what is remembered of revoked ones, may be missing; export again",
        );
    }
    match counts.conflict.saturating_add(counts.refused) {
        0 if counts.whole => Ok(Exit::Done),
        _ => Ok(Exit::Refused),
    }
}

const UNREAD: Failure = Failure::expected("FILE: the export cannot be read");

fn interrupted(counts: &Counts, failure: Failure) -> Failure {
    let (failure, imported) = (failure.to_string(), counts.imported);
    let text = format!("{failure} ({imported} keys were imported; run it again to continue)");
    Failure::Message(text.into())
}

fn print(line: &LineReport, config: &Config, io: &mut Io<'_>) -> Result<(), Failure> {
    // A line that waits is printed at last.
    if matches!(line.result, LineResult::Waiting(_) | LineResult::End) {
        return Ok(());
    }
    let problem = line.result.problem();
    let key_id = line.key_id.as_ref().map(|id| id.as_str());
    if config.json {
        return io.json(&Reported {
            line: line.line,
            key_id,
            result: line.result.as_str(),
            field: problem.map(|problem| problem.field),
            expected: problem.map(|problem| &*problem.expected),
        });
    }
    let Some(problem) = problem else {
        return Ok(());
    };
    let (number, result) = (line.line, line.result.as_str());
    match key_id {
        Some(id) => io.line(&format!("line {number}: {result}: {id}: {problem}")),
        None => io.line(&format!("line {number}: {result}: {problem}")),
    }
}

impl Counts {
    fn add(&mut self, line: &LineReport) {
        let count = match line.result {
            LineResult::Imported => &mut self.imported,
            LineResult::Present => &mut self.present,
            LineResult::Conflict(_) => &mut self.conflict,
            LineResult::Waiting(_) | LineResult::End => return,
            _ => &mut self.refused,
        };
        *count = count.saturating_add(1);
    }

    const fn all(&self) -> u64 {
        let there = self.imported.saturating_add(self.present);
        there
            .saturating_add(self.conflict)
            .saturating_add(self.refused)
    }
}

impl core::fmt::Display for Counts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let imported = match self.dry_run {
            true => "would have imported",
            false => "imported",
        };
        write!(
            f,
            "{imported} {} keys; {} were there already, {} are in conflict, {} were refused",
            self.imported, self.present, self.conflict, self.refused
        )
    }
}

/// Some lines of the input, in memory that is used again.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    /// Where the lines are in the text, with their numbers.
    places: Vec<(u64, core::ops::Range<usize>)>,
    count: u64,
}

/// The limit on the text of lines that are read at once, so that long lines make small parts.
const PART_BYTES_MAX: usize = 8 * 1_024 * 1_024;

impl Lines {
    /// Reads the next lines; returns whether they are the last ones. Of a line that is too long,
    /// also before its white space at the end, one byte more than the limit is kept, so that it is
    /// refused.
    fn read(&mut self, input: &mut (impl BufRead + ?Sized)) -> std::io::Result<bool> {
        self.text.clear();
        self.places.clear();
        let limit = u64::try_from(LINE_BYTES_MAX)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        while self.places.len() < IMPORT_LINES_MAX && self.text.len() < PART_BYTES_MAX {
            let start = self.text.len();
            let mut some = (&mut *input).take(limit);
            if some.read_until(b'\n', &mut self.text)? == 0 {
                return Ok(true);
            }
            self.count = self.count.saturating_add(1);
            let line = self.text.get(start..).unwrap_or_default();
            let is_cut = line.last() != Some(&b'\n') && skip_line(input)?;
            let kept = match is_cut {
                true => line,
                false => line.trim_ascii_end(),
            };
            let end = start.saturating_add(kept.len());
            if end > start {
                self.places.push((self.count, start..end));
            }
        }
        Ok(false)
    }

    fn numbered(&self) -> Vec<(u64, &[u8])> {
        let place = |(number, place): &(u64, core::ops::Range<usize>)| {
            (*number, self.text.get(place.clone()).unwrap_or_default())
        };
        self.places.iter().map(place).collect()
    }
}

/// Reads what is left of a line, without keeping it; returns whether it is more than white space.
fn skip_line(input: &mut (impl BufRead + ?Sized)) -> std::io::Result<bool> {
    let mut has_text = false;
    loop {
        let some = input.fill_buf()?;
        let end = some.iter().position(|byte| *byte == b'\n');
        let (used, is_end) = match end {
            Some(end) => (end.saturating_add(1), true),
            None => (some.len(), some.is_empty()),
        };
        let left = some.get(..used).unwrap_or_default();
        has_text |= !left.trim_ascii_end().is_empty();
        input.consume(used);
        if is_end {
            return Ok(has_text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_too_long_before_its_last_spaces() {
        let spaces = " ".repeat(LINE_BYTES_MAX);
        let text = format!("a{spaces} \nb{spaces}c\nd");
        let mut input = text.as_bytes();
        let mut lines = Lines::default();
        assert!(lines.read(&mut input).unwrap());
        let lengths = lines.numbered().into_iter();
        let lengths: Vec<_> = lengths.map(|(line, text)| (line, text.len())).collect();
        assert_eq!(lengths, [(1, 1), (2, LINE_BYTES_MAX + 1), (3, 1)]);
    }

    #[test]
    fn lines_are_read_in_parts() {
        let long = "x".repeat(LINE_BYTES_MAX + 9);
        let text = format!("a\r\n\n  \n{long}\nb\n{}c", "d\n".repeat(IMPORT_LINES_MAX));
        let mut input = text.as_bytes();
        let mut lines = Lines::default();
        assert!(!lines.read(&mut input).unwrap());
        let numbered = lines.numbered();
        assert_eq!(numbered.len(), IMPORT_LINES_MAX);
        assert_eq!(numbered[0], (1, &b"a"[..]));
        assert_eq!(
            (numbered[1].0, numbered[1].1.len()),
            (4, LINE_BYTES_MAX + 1)
        );
        assert_eq!(numbered[2], (5, &b"b"[..]));
        assert!(lines.read(&mut input).unwrap());
        assert_eq!(lines.numbered().last(), Some(&(506, &b"c"[..])));
    }
}
