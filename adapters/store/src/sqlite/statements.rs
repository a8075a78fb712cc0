//! The statements of a batch for SQLite.

use std::sync::LazyLock;

use crate::batch::Batch;
use crate::columns::Kind;
use crate::error::StoreError;
use crate::statement::Statement;
use crate::statements::{Spelling, Texts};

static TEXTS: LazyLock<Texts> = LazyLock::new(Texts::new::<Sqlite>);

/// How SQLite spells parameters.
pub(super) struct Sqlite;

impl Spelling for Sqlite {
    const OLD_REQUESTS: &'static str = "DELETE FROM api_key_issue_requests WHERE rowid IN \
         (SELECT rowid FROM api_key_issue_requests WHERE at <= ?1 ORDER BY at LIMIT 100)";

    fn value(kind: Kind, number: usize) -> String {
        match kind {
            Kind::Text | Kind::Instant | Kind::Json => format!("?{number}"),
            Kind::Number | Kind::Flag => format!("CAST(?{number} AS INTEGER)"),
            // In a column of type JSONB, SQLite would convert the text `1.0` to a number; it
            // never converts a blob.
            Kind::Verbatim => format!(
                "CASE WHEN ltrim(?{number}, char(9, 10, 11, 12, 13, 32)) GLOB '[-+.0-9]*' \
                 THEN CAST(?{number} AS BLOB) ELSE ?{number} END"
            ),
        }
    }

    fn exact(column: &str) -> String {
        format!("{column} COLLATE BINARY")
    }
}

impl Batch {
    /// The statements that write the batch to SQLite, for a transaction of yours: see
    /// [`Statement`]. `SqliteStore` runs the same. Begin it with `BEGIN IMMEDIATE`: a
    /// transaction that has read before it writes can fail with `SQLITE_BUSY`.
    ///
    /// [`last_event`](Self::last_event) and [`template_unchanged`](Self::template_unchanged) are not
    /// among them.
    ///
    /// # Errors
    /// Those of a store for a batch that cannot be written: [`StoreError::Refused`],
    /// [`StoreError::OutOfRange`], [`StoreError::WithoutEvent`].
    pub fn sqlite_statements(&self) -> Result<Vec<Statement>, StoreError> {
        TEXTS.of::<Sqlite>(self)
    }
}
