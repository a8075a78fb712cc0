//! Why a command could not be carried out: one line on standard error, and exit code 2.

use core::fmt;
use std::borrow::Cow;
use std::io;

use keystile_store::{StoreError, UnavailableKind};

/// How a command ended that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done, or every key was allowed.
    Done,
    /// A key was denied.
    Denied,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Denied => 1,
        }
    }
}

/// The exit code of every failure.
pub(crate) const FAILED: u8 = 2;

/// Why a command was not carried out. The text is one line, and repeats no input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// To be said on standard error.
    Said(Cow<'static, str>),
    /// The reader of standard output went away.
    ReaderGone,
}

impl Failure {
    pub(crate) const fn expected(text: &'static str) -> Self {
        Self::Said(Cow::Borrowed(text))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(text) => f.write_str(text),
            Self::ReaderGone => f.write_str("no one reads standard output"),
        }
    }
}

impl From<keystile::Error> for Failure {
    fn from(error: keystile::Error) -> Self {
        Self::expected(error.message())
    }
}

/// Of writing to standard output; what is read or opened has texts of its own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::expected("standard output could not be written"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { kind, .. } => Self::expected(advice(kind)),
            StoreError::NotFound => Self::expected("there is no key with this id in the store"),
            StoreError::Stale => Self::expected("the key was modified concurrently; try again"),
            StoreError::Refused(error) => error.into(),
            StoreError::Corrupt(error) => {
                Self::Said(format!("a row of the store is damaged: {error}").into())
            }
            // The texts of the other kinds hold no input.
            other => Self::Said(other.to_string().into()),
        }
    }
}

/// What can be done about a store that cannot be used. The store's own texts may hold the
/// name of a file, a user or a database, and so anything that was in an argument: they are
/// not printed.
const fn advice(kind: UnavailableKind) -> &'static str {
    match kind {
        UnavailableKind::Unreachable => {
            "the PostgreSQL server cannot be reached: check that it runs, and host and port"
        }
        UnavailableKind::Late => "the PostgreSQL server does not answer in time; try again",
        UnavailableKind::Credentials => "the PostgreSQL server refuses the user or the password",
        UnavailableKind::NoDatabase => "the PostgreSQL server has no such database",
        UnavailableKind::NoRight => {
            "the PostgreSQL user lacks a right on the store's tables, or to make them"
        }
        UnavailableKind::NotAdoptable => {
            "the existing table api_keys cannot be adopted: a column is missing or of another type"
        }
        UnavailableKind::TooNew => "the store's tables are newer than this program",
        UnavailableKind::ReadOnly => {
            "the store cannot be written: the file or its folder is read-only"
        }
        UnavailableKind::Full => "the store cannot be written: no space is left",
        UnavailableKind::NotADatabase => "the store's file is not an SQLite database",
        UnavailableKind::Damaged => "the store's file is a damaged SQLite database",
        UnavailableKind::Locked => {
            "the store is busy: another program has held it too long; try again"
        }
        UnavailableKind::CannotOpen => {
            "the store's file cannot be opened: check that its folder exists and is writable"
        }
        UnavailableKind::Io => "the store's file cannot be read or written",
        UnavailableKind::NoTables => {
            "the store's tables are not there or not up to date; it may belong to something else"
        }
        _ => "the store is unavailable",
    }
}
