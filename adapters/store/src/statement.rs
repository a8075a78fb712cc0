//! The statements of a batch, for any driver.

use core::fmt;

/// One statement of a [`Batch`](crate::Batch), to run in a transaction of yours, with the driver that you use.
///
/// `SqliteStore` runs the same ones, and `PostgresStore` one for many rows of a kind. Bind each value as text, or as NULL:
/// the statement casts it. Run all statements of a batch in their order, in one transaction.
///
/// ```
/// # #[cfg(feature = "sqlite")] {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// use keystile_store::{Batch, StoreError};
///
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// for statement in Batch::of_issued(&issued).sqlite_statements()? {
///     // With sqlx:
///     // let mut query = sqlx::query(statement.sql);
///     // for value in statement.values { query = query.bind(value); }
///     // let changed = query.execute(&mut *transaction).await?.rows_affected();
///     let changed = 1;
///     assert!(!statement.must_change_a_row || changed == 1, "roll back: it is stale");
/// }
/// // A record without its event is refused, as by a store.
/// let mut silent = Batch::of_issued(&issued);
/// silent.events.clear();
/// assert!(matches!(silent.sqlite_statements(), Err(StoreError::WithoutEvent)));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// The text. The parameters are numbered: `$1` for PostgreSQL, `?1` for SQLite.
    pub sql: &'static str,
    /// The values of the parameters, in their order.
    pub values: Vec<Option<String>>,
    /// Roll back if it did not change exactly one row: another writer has changed the record,
    /// as [`StoreError::Stale`](crate::StoreError::Stale) says.
    pub must_change_a_row: bool,
}

impl Statement {
    pub(crate) const fn new(sql: &'static str, values: Vec<Option<String>>) -> Self {
        Self {
            sql,
            values,
            must_change_a_row: false,
        }
    }

    pub(crate) fn changes_a_row(self) -> Self {
        Self {
            must_change_a_row: true,
            ..self
        }
    }
}

/// Without the values: there is a digest among them.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement")
            .field("sql", &self.sql)
            .field("values", &self.values.len())
            .field("must_change_a_row", &self.must_change_a_row)
            .finish()
    }
}
