//! Why a store operation failed.

use core::error::Error as StdError;
use core::fmt;

/// Why a store operation failed. Its messages contain no key and no digest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not be reached, or failed; the response to a request is then 503.
    #[error("the store is unavailable")]
    Unavailable {
        /// What to do about it, for code to match on.
        kind: UnavailableKind,
        /// The error of the database or the operating system.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Another writer changed the record: read it again and decide again.
    #[error("the record was changed by another writer")]
    Stale,
    /// A key with this id or digest already exists.
    #[error("a key with this id or digest already exists")]
    Duplicate,
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// A stored row is not a valid record. It is never read as a record that grants more.
    #[error("a stored row is damaged: {0}")]
    Corrupt(CorruptRow),
    /// A number is beyond what stores can keep: a version of 0, or a count past `i64::MAX`.
    #[error("a version must be 1 or more, and a count at most 9223372036854775807")]
    OutOfRange,
    /// The core refused the change.
    #[error(transparent)]
    Refused(#[from] keystile::Error),
}

/// Why a store could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnavailableKind {
    /// The URL of a server cannot be used.
    Url,
    /// The file of root certificates that the URL names cannot be used.
    RootCertificates,
    /// The server cannot be reached.
    Unreachable,
    /// The store, or a connection to it, did not answer in time.
    Late,
    /// The server refuses the user or the password.
    Credentials,
    /// The server has no such database.
    NoDatabase,
    /// The server's user lacks a privilege.
    NoRight,
    /// An existing table cannot be adopted.
    NotAdoptable,
    /// The tables are missing or not up to date.
    NoTables,
    /// The tables are of a later version of this program.
    TooNew,
    /// The file, or the folder that it is in, is read-only.
    ReadOnly,
    /// There is no space left.
    Full,
    /// The file is not a database.
    NotADatabase,
    /// The file is a damaged database.
    Damaged,
    /// Another program has locked the file for too long.
    Locked,
    /// The file is missing or cannot be opened.
    CannotOpen,
    /// The file cannot be read or written.
    Io,
    /// Another reason; see the source.
    Other,
}

impl StoreError {
    /// [`Unavailable`](Self::Unavailable) for another reason than those that have a kind.
    pub fn unavailable(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::unavailable_because(UnavailableKind::Other, source)
    }

    /// [`Unavailable`](Self::Unavailable) for a reason of this kind.
    pub fn unavailable_because(
        kind: UnavailableKind,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable {
            kind,
            source: Box::new(source),
        }
    }

    /// The kind of an [`Unavailable`](Self::Unavailable) store.
    #[must_use]
    pub const fn unavailable_kind(&self) -> Option<UnavailableKind> {
        match self {
            Self::Unavailable { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// Where a stored row is damaged, and what was expected there; not what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptRow {
    /// The row's number in its table.
    pub row: i64,
    /// The column.
    pub column: &'static str,
    /// What was expected in it.
    pub expected: &'static str,
}

impl fmt::Display for CorruptRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "row {}, column {}: expected {}",
            self.row, self.column, self.expected
        )
    }
}
