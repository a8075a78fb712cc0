//! How far an adoption is.

use core::fmt;

/// How far an adoption is. It is reported after each batch of rows and at each step.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("app.db");
/// use keystile::UnixMillis;
/// use keystile_store::{AdoptOptions, AdoptionProgress, SqliteStore};
///
/// let store = SqliteStore::open(&path)?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let plan = store.plan_adoption(AdoptOptions::default(), now).await?;
/// let report = |progress: AdoptionProgress| {
///     println!("{}: {} of {} rows", progress.step, progress.rows, progress.total);
/// };
/// store.adopt(&plan, report).await?;
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdoptionProgress {
    /// What is being done.
    pub step: AdoptionStep,
    /// The rows that this call has adopted so far.
    pub rows: u64,
    /// The rows of the plan. Other programs may insert and delete rows meanwhile.
    pub total: u64,
}

/// A step of an adoption.
///
/// ```
/// use keystile_store::AdoptionStep;
/// assert_eq!(AdoptionStep::Rows.to_string(), "adopting rows");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AdoptionStep {
    /// Tables, columns and triggers are created.
    Tables,
    /// Another program has a lock that is needed; the step is tried again.
    Waiting,
    /// Rows are adopted.
    Rows,
    /// Indexes are built.
    Indexes,
    /// Constraints are checked.
    Constraints,
}

impl fmt::Display for AdoptionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tables => "creating tables and columns",
            Self::Waiting => "waiting for another program's lock",
            Self::Rows => "adopting rows",
            Self::Indexes => "building indexes",
            Self::Constraints => "checking constraints",
        })
    }
}
