//! Why a command could not be carried out: one line on standard error, and exit code 2.

use core::fmt;
use std::borrow::Cow;
use std::io;

use keystile_store::StoreError;

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
    /// Whoever read standard output went away, and does not want to hear more.
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
            Self::ReaderGone => f.write_str("nobody reads standard output"),
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
            StoreError::Unavailable(source) => Self::expected(cause(&source.to_string())),
            StoreError::NotFound => Self::expected("there is no key with this id in the store"),
            StoreError::Stale => {
                Self::expected("the key was changed by others all the while; try again")
            }
            StoreError::Refused(error) => error.into(),
            StoreError::Corrupt(error) => {
                Self::Said(format!("a row of the store is damaged: {error}").into())
            }
            // The texts of the other kinds hold no input.
            other => Self::Said(other.to_string().into()),
        }
    }
}

/// What a store says of a failure, and what is said of it here.
///
/// Its own texts may hold the name of a file, a user or a database, and so anything that
/// stood in an argument: what is not listed is not told.
const CAUSES: &[(&str, &str)] = &[
    (
        "server cannot be reached",
        "the PostgreSQL server cannot be reached: check that it runs, and host and port",
    ),
    (
        "did not answer within",
        "the PostgreSQL server does not answer in time; try again",
    ),
    (
        "was free within",
        "the PostgreSQL server does not answer in time; try again",
    ),
    (
        "answered 28",
        "the PostgreSQL server refuses the user or the password",
    ),
    (
        "answered 3D000",
        "the PostgreSQL server has no such database",
    ),
    (
        "answered 42501",
        "the PostgreSQL user lacks a right on the store's tables, or to make them",
    ),
    (
        "answered 57014",
        "the PostgreSQL server does not answer in time; try again",
    ),
    (
        "answered P0001",
        "the table api_keys that is there cannot be adopted: a column is missing or of another type",
    ),
    (
        "this program knows them up to",
        "the store's tables are newer than this program",
    ),
    (
        "readonly database",
        "the store cannot be written: the file or its folder is read-only",
    ),
    (
        "disk is full",
        "the store cannot be written: no space is left",
    ),
    (
        "not a database",
        "the store's file is not an SQLite database",
    ),
    ("malformed", "the store's file is a damaged SQLite database"),
    (
        "database is locked",
        "the store is busy: another program has held it too long; try again",
    ),
    (
        "unable to open",
        "the store's file cannot be opened: check that its folder is there and may be written",
    ),
    (
        "disk I/O error",
        "the store's file cannot be read or written",
    ),
    (
        "no such table",
        "the store's tables are not there; the file belongs to something else",
    ),
];

fn cause(source: &str) -> &'static str {
    CAUSES
        .iter()
        .find(|(theirs, _)| source.contains(theirs))
        .map_or("the store is unavailable", |(_, ours)| ours)
}
