//! Why a command failed: one line on standard error, and exit code 2.

use core::fmt;
use std::borrow::Cow;
use std::io;

use keystile_store::{StoreError, UnavailableKind};

/// How a command ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did its work, or every key was allowed.
    Done,
    /// A key was denied.
    Denied,
    /// It did its work, but rows of the store are damaged.
    Damaged,
    /// A migration was not carried out, because of what it found.
    Refused,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Denied | Self::Damaged | Self::Refused => 1,
        }
    }
}

/// The exit code of every failure.
pub(crate) const FAILED: u8 = 2;

/// Why a command failed. The message is one line, and never repeats input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A message for standard error.
    Message(Cow<'static, str>),
    /// The reader of standard output closed it: there is no one to print a message for.
    ReaderGone,
}

impl Failure {
    pub(crate) const fn expected(text: &'static str) -> Self {
        Self::Message(Cow::Borrowed(text))
    }

    /// What the value of this option, or of these, must be.
    pub(crate) fn of(option: &'static str) -> impl Fn(keystile::Error) -> Self {
        move |error| {
            let message = error.message();
            Self::Message(match error.index() {
                Some(before @ 1..) => {
                    format!("{option} (number {}): {message}", before.saturating_add(1)).into()
                }
                _ => format!("{option}: {message}").into(),
            })
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(text) => f.write_str(text),
            Self::ReaderGone => f.write_str("standard output was closed by its reader"),
        }
    }
}

impl From<keystile::Error> for Failure {
    fn from(error: keystile::Error) -> Self {
        Self::expected(error.message())
    }
}

/// For writes to standard output. Reading and opening have their own messages.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::expected("cannot write to standard output"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            // Its message has only numbers of rows, and names and types of columns.
            StoreError::Unavailable {
                kind: UnavailableKind::NotAdoptable,
                source,
            } => Self::Message(
                format!(
                    "cannot adopt the table api_keys: {source}; keystile migrate --dry-run \
                     shows all findings"
                )
                .into(),
            ),
            StoreError::Unavailable { kind, .. } => Self::expected(advice(kind)),
            StoreError::NotFound => Self::expected("the store has no key with this id"),
            StoreError::Stale => Self::expected("the key was modified concurrently; try again"),
            StoreError::TooManyToSort => Self::expected(
                "--sort: this order needs a filter that selects fewer than 1,000 keys, such as \
                 --owner or --client",
            ),
            StoreError::Refused(error) => error.into(),
            StoreError::Derived(problem) => Self::Message(problem.to_string().into()),
            StoreError::Corrupt(error) => {
                Self::Message(format!("the store contains a damaged row: {error}").into())
            }
            // The messages of the other kinds contain no input.
            other => Self::Message(other.to_string().into()),
        }
    }
}

/// What to do about a store that cannot be used.
///
/// A store's own messages can contain the name of a file, a user or a database, and so any
/// part of an argument: they are not printed.
const fn advice(kind: UnavailableKind) -> &'static str {
    match kind {
        UnavailableKind::Unreachable => {
            "cannot reach the PostgreSQL server: check that it is running, and its host and port"
        }
        UnavailableKind::Late => "the store did not answer in time; try again",
        UnavailableKind::Credentials => "the PostgreSQL server rejected the user or the password",
        UnavailableKind::NoDatabase => {
            "the PostgreSQL server has no such database: create it first, or correct its name"
        }
        UnavailableKind::NoRight => {
            "the PostgreSQL user needs the privileges to create the store's tables, or to use them"
        }
        UnavailableKind::NotAdopted => {
            "the table api_keys is another program's, and is not adopted, or not entirely: \
             keystile migrate --dry-run shows what adopting it would do"
        }
        UnavailableKind::TooNew => {
            "the store was migrated by a newer version of keystile: upgrade this program"
        }
        UnavailableKind::ReadOnly => {
            "cannot write to the store: the file or its directory is read-only"
        }
        UnavailableKind::Full => "cannot write to the store: no space left on the device",
        UnavailableKind::NotADatabase => "the store's file is not an SQLite database",
        UnavailableKind::Damaged => "the store's file is a damaged SQLite database",
        UnavailableKind::FileExists => "the file exists already; name another one",
        UnavailableKind::Locked => "the store is locked by another program; try again",
        UnavailableKind::CannotOpen => {
            "cannot open the store: check that its directory exists and is writable"
        }
        UnavailableKind::Io => "cannot read or write the store: disk I/O error",
        UnavailableKind::NoTables => {
            "the store has no tables of keystile: check --store, or create them with keystile migrate"
        }
        UnavailableKind::OldTables => {
            "the store's tables are of an earlier version of keystile: update them with keystile migrate"
        }
        _ => "the store is unavailable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adoption_that_stops_names_the_row_and_the_reason() {
        let kind = UnavailableKind::NotAdoptable;
        let reason = io::Error::other("row 7: active keys have a * in their permissions");
        let failure = Failure::from(StoreError::unavailable_because(kind, reason));
        let said = failure.to_string();
        assert!(said.contains("row 7: active keys have a *"), "{said}");
    }
}
