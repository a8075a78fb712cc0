//! Adopting a table `api_keys` that an application created: what would change, and what has to
//! be accepted first.

mod check;
mod list_indexes;
mod progress;
mod scan;

use core::fmt;

use keystile::UnixMillis;

pub(crate) use self::check::Planned;
pub(crate) use self::list_indexes::{list_indexes, without_list_indexes};
pub use self::progress::{AdoptionProgress, AdoptionStep};
pub(crate) use self::scan::RowFacts;
use crate::error::{CorruptRow, StoreError, UnavailableKind};
use crate::tables::Tables;

/// The limit on the rows that a plan names for each finding. It counts all of them.
pub(crate) const NAMED_ROWS_MAX: usize = 100;

/// The name of the endpoint rules in the metadata of the well-known example's scoped keys.
pub(crate) const METADATA_ENDPOINTS: &str = "allowedEndpoints";

/// What an adoption may do that changes the meaning of a row. The default accepts nothing.
///
/// ```
/// use keystile_store::{AdoptOptions, MetadataEndpoints};
///
/// let mut options = AdoptOptions::default();
/// assert_eq!(options.metadata_endpoints, MetadataEndpoints::Refuse);
/// options.accept_wildcards = true;
/// options.metadata_endpoints = MetadataEndpoints::Enforce;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct AdoptOptions {
    /// Adopt keys whose permissions have a `*`, which is a wildcard from then on. In rows that
    /// other code inserts later it is one in any case.
    pub accept_wildcards: bool,
    /// Adopt rows that cannot be read. Their keys are refused, with an error.
    pub accept_unreadable: bool,
    /// Adopt an `expires_at` of `infinity` (PostgreSQL) as NULL: the key never expires.
    /// `-infinity` is a row that cannot be read.
    pub infinity_is_never: bool,
    /// What becomes of endpoint rules in the metadata.
    pub metadata_endpoints: MetadataEndpoints,
}

/// What becomes of the endpoint rules that a key has in its metadata, as `allowedEndpoints`.
///
/// ```
/// use keystile_store::MetadataEndpoints;
/// assert_eq!(MetadataEndpoints::default(), MetadataEndpoints::Refuse);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetadataEndpoints {
    /// The table is not adopted if an active key has some. Those of rows that other code inserts
    /// or changes later are enforced.
    #[default]
    Refuse,
    /// They are copied to `allowed_endpoints`, and so enforced. A valid `scopeType` is copied
    /// to `scope_type`. Rules that cannot be read, or metadata that is not JSON, make a row
    /// that cannot be read.
    Enforce,
    /// They stay in the metadata, which keystile does not read: the key may be used for each
    /// endpoint, and so may those that other code inserts later.
    Ignore,
}

/// The rows of which something was found: all are counted, and the first 100 are named.
///
/// ```
/// use keystile_store::Findings;
/// let findings = Findings::<i64>::default();
/// assert_eq!((findings.count, findings.first.len()), (0, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Findings<T> {
    /// How many rows there are.
    pub count: u64,
    /// The first 100 of them.
    pub first: Vec<T>,
}

impl<T> Default for Findings<T> {
    fn default() -> Self {
        Self {
            count: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Findings<T> {
    fn add(&mut self, row: T) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < NAMED_ROWS_MAX {
            self.first.push(row);
        }
    }
}

/// Why a table cannot be adopted as it is.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// use keystile::UnixMillis;
/// use keystile_store::{AdoptOptions, SqliteStore};
///
/// let application = rusqlite::Connection::open(&path).unwrap();
/// application.execute_batch("CREATE TABLE api_keys (id INTEGER PRIMARY KEY)").unwrap();
/// let store = SqliteStore::open(&path)?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let plan = store.plan_adoption(AdoptOptions::default(), now).await?;
/// assert_eq!(
///     plan.problems[0].to_string(),
///     "table api_keys: column key_hash is missing; expected VARCHAR(64)"
/// );
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableProblem {
    /// The table.
    pub table: String,
    /// The column, if it is about one.
    pub column: Option<String>,
    /// What was found, such as `missing` or a type.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl TableProblem {
    pub(crate) fn of(column: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            table: "api_keys".to_owned(),
            column: Some(column.to_owned()),
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(crate) fn of_table(table: &str, found: &str, expected: &str) -> Self {
        Self {
            table: table.to_owned(),
            column: None,
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: ", self.table)?;
        if let Some(column) = &self.column {
            write!(f, "column {column} ")?;
        }
        write!(f, "is {}; expected {}", self.found, self.expected)
    }
}

/// What an adoption would do, and what it found in the rows. Making a plan changes nothing.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// use keystile::UnixMillis;
/// use keystile_store::{AdoptOptions, AdoptionRefusal, SqliteStore, Tables};
///
/// let application = rusqlite::Connection::open(&path).unwrap();
/// application.execute_batch("CREATE TABLE api_keys (
///     id INTEGER PRIMARY KEY,
///     key_hash VARCHAR(64) NOT NULL UNIQUE,
///     key_prefix VARCHAR(10) NOT NULL,
///     client_name VARCHAR(255) NOT NULL,
///     permissions JSONB NOT NULL DEFAULT '[]',
///     created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
///     last_used_at TIMESTAMP,
///     is_active BOOLEAN DEFAULT TRUE,
///     rate_limit INTEGER DEFAULT 1000
/// ); INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions)
///    VALUES (lower(hex(zeroblob(32))), 'dt_0000000', 'Acme', '[\"*\"]')").unwrap();
///
/// let store = SqliteStore::open(&path)?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let plan = store.plan_adoption(AdoptOptions::default(), now).await?;
/// assert_eq!((plan.rows, plan.wildcards.count), (1, 1));
/// assert_eq!(plan.refusals(), [AdoptionRefusal::Wildcards]);
/// assert!(store.adopt(&plan, |_| ()).await.is_err(), "the * grants more than it did");
///
/// let mut options = AdoptOptions::default();
/// options.accept_wildcards = true;
/// let plan = store.plan_adoption(options, now).await?;
/// assert_eq!(store.adopt(&plan, |_| ()).await?, 1);
/// assert_eq!(store.tables().await?, Tables::Current);
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdoptionPlan {
    /// What the database holds now. Only a table that is not adopted, or not entirely, has
    /// rows to adopt: otherwise the tables are created, updated or complete.
    pub tables: Tables,
    /// What the plan accepts.
    pub options: AdoptOptions,
    /// What will be done, a sentence each. Nothing if the tables are complete.
    pub steps: Vec<String>,
    /// Why the table cannot be adopted. If there is a reason, the rows are not read.
    pub problems: Vec<TableProblem>,
    /// The rows that will be adopted.
    pub rows: u64,
    /// The rows whose key is not active: it will be revoked, for good.
    pub inactive: u64,
    /// The active keys that have expired, and so will be refused.
    pub expired: u64,
    /// The rows that cannot be read.
    pub unreadable: Findings<CorruptRow>,
    /// The active keys whose permissions have a `*`, by row.
    pub wildcards: Findings<i64>,
    /// The active keys with endpoint rules in their metadata, or with metadata that is not JSON,
    /// by row. A text in JSON counts as such: it may be an object that was written twice.
    pub metadata_endpoints: Findings<i64>,
    /// The rows whose `expires_at` is `infinity`.
    pub infinite: Findings<i64>,
    now: UnixMillis,
    /// The columns that the table lacks.
    pub(crate) missing: Vec<&'static str>,
}

impl AdoptionPlan {
    pub(crate) const fn new(tables: Tables, options: AdoptOptions, now: UnixMillis) -> Self {
        Self {
            tables,
            options,
            steps: Vec::new(),
            problems: Vec::new(),
            rows: 0,
            inactive: 0,
            expired: 0,
            unreadable: Findings {
                count: 0,
                first: Vec::new(),
            },
            wildcards: Findings {
                count: 0,
                first: Vec::new(),
            },
            metadata_endpoints: Findings {
                count: 0,
                first: Vec::new(),
            },
            infinite: Findings {
                count: 0,
                first: Vec::new(),
            },
            now,
            missing: Vec::new(),
        }
    }

    /// Why this plan is not carried out; nothing if it can be.
    #[must_use]
    pub fn refusals(&self) -> Vec<AdoptionRefusal> {
        let options = self.options;
        let refuses_endpoints = options.metadata_endpoints == MetadataEndpoints::Refuse;
        let found = |count: u64, accepted: bool| count > 0 && !accepted;
        [
            (!self.problems.is_empty(), AdoptionRefusal::Table),
            (
                found(self.unreadable.count, options.accept_unreadable),
                AdoptionRefusal::Unreadable,
            ),
            (
                found(self.wildcards.count, options.accept_wildcards),
                AdoptionRefusal::Wildcards,
            ),
            (
                found(self.metadata_endpoints.count, !refuses_endpoints),
                AdoptionRefusal::MetadataEndpoints,
            ),
            (
                found(self.infinite.count, options.infinity_is_never),
                AdoptionRefusal::Infinity,
            ),
        ]
        .into_iter()
        .filter_map(|(is_refused, refusal)| is_refused.then_some(refusal))
        .collect()
    }

    /// An error that names the first reason, unless the plan can be carried out.
    pub(crate) fn require_accepted(&self) -> Result<(), StoreError> {
        let Some(refusal) = self.refusals().first().copied() else {
            return Ok(());
        };
        let reason = match self.problems.first() {
            Some(problem) => problem.to_string(),
            None => refusal.to_string(),
        };
        Err(refused(reason))
    }
}

fn refused(reason: String) -> StoreError {
    StoreError::unavailable_because(UnavailableKind::NotAdoptable, Refused(reason))
}

/// A table was not adopted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Why a plan is not carried out. All but the first can be accepted by [`AdoptOptions`].
///
/// ```
/// use keystile_store::AdoptionRefusal;
/// let refusal = AdoptionRefusal::Infinity;
/// assert_eq!(refusal.to_string(), "rows have an expires_at of infinity");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdoptionRefusal {
    /// The table has a [problem](AdoptionPlan::problems).
    Table,
    /// Rows cannot be read.
    Unreadable,
    /// Active keys have a `*` in their permissions, which would be a wildcard.
    Wildcards,
    /// Active keys have endpoint rules in their metadata, or metadata that is not JSON.
    MetadataEndpoints,
    /// Rows have an `expires_at` of `infinity`.
    Infinity,
}

impl fmt::Display for AdoptionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "the table cannot be adopted",
            Self::Unreadable => "rows cannot be read",
            Self::Wildcards => "active keys have a * in their permissions",
            Self::MetadataEndpoints => {
                "active keys have endpoint rules in their metadata, or metadata that is not JSON"
            }
            Self::Infinity => "rows have an expires_at of infinity",
        })
    }
}
