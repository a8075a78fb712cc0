//! Why a store could not do what it was asked.

use core::error::Error as StdError;
use core::fmt;

/// Why a store could not do what it was asked. No text of it holds a key or a digest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not be reached, or failed; the answer to a request is then 503.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Somebody else changed the record meanwhile: read it again and decide anew.
    #[error("the record was changed meanwhile")]
    Stale,
    /// A key with this id or digest is there already.
    #[error("a key with this id or digest is there already")]
    Duplicate,
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// A row holds what no record can hold. It is never read as a record that grants more.
    #[error("a stored row is damaged: {0}")]
    Corrupt(CorruptRow),
    /// A number is beyond what stores can keep: a version of 0, or a count past `i64::MAX`.
    #[error("a version is 1 or more, and a count at most 9223372036854775807")]
    OutOfRange,
    /// The core refused the change.
    #[error(transparent)]
    Refused(#[from] keystile::Error),
}

impl StoreError {
    /// [`Unavailable`](Self::Unavailable) for this reason.
    pub fn unavailable(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Unavailable(Box::new(source))
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
