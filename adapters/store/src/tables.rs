//! What a database holds of keystile's tables.

use core::fmt;

use crate::error::{StoreError, UnavailableKind};

/// What a database holds of keystile's tables.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("keys.db");
/// use keystile_store::{SqliteStore, Tables};
///
/// let store = SqliteStore::open(&path)?;
/// assert_eq!(store.tables().await?, Tables::Empty);
/// store.migrate().await?;
/// assert_eq!(store.tables().await?, Tables::Current);
///
/// # let path = folder.path().join("app.db");
/// let application = rusqlite::Connection::open(&path).unwrap();
/// application.execute_batch("CREATE TABLE api_keys (key_hash TEXT UNIQUE)").unwrap();
/// let store = SqliteStore::open(&path)?;
/// assert_eq!(store.tables().await?, Tables::NotAdopted);
/// assert!(store.migrate().await.is_err(), "only `adopt` changes this table");
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tables {
    /// There are no tables: none in the file, or none in the schema of the server in which
    /// tables are created.
    Empty,
    /// There are tables of other programs, and none of keystile.
    Others,
    /// There is a table `api_keys`, and it is not keystile's.
    NotAdopted,
    /// The adoption of a table `api_keys` has begun, and is not finished.
    HalfAdopted,
    /// There are keystile's tables, of an earlier version.
    Old,
    /// There are keystile's tables, of this program's version.
    Current,
}

impl Tables {
    /// An error unless the tables can be used.
    pub(crate) fn require(self) -> Result<(), StoreError> {
        match self {
            Self::Current => Ok(()),
            Self::Empty | Self::Others => Err(self.error(UnavailableKind::NoTables)),
            Self::NotAdopted | Self::HalfAdopted => Err(self.error(UnavailableKind::NotAdopted)),
            Self::Old => Err(self.error(UnavailableKind::OldTables)),
        }
    }

    /// An error if only an adoption may change the tables.
    pub(crate) fn require_own(self) -> Result<(), StoreError> {
        match self {
            Self::NotAdopted | Self::HalfAdopted => Err(self.error(UnavailableKind::NotAdopted)),
            _ => Ok(()),
        }
    }

    fn error(self, kind: UnavailableKind) -> StoreError {
        StoreError::unavailable_because(kind, Unusable(self))
    }
}

/// The tables cannot be used.
#[derive(Debug)]
struct Unusable(Tables);

impl core::error::Error for Unusable {}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Tables::Empty | Tables::Others => "the database has no tables of keystile",
            Tables::NotAdopted => "the table api_keys is not keystile's, and is not adopted",
            Tables::HalfAdopted => "the adoption of the table api_keys is not finished",
            Tables::Old | Tables::Current => "the tables are of an earlier version: migrate first",
        })
    }
}
