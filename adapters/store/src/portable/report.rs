//! What became of the lines of an import.

use keystile::KeyId;

use super::problem::LineProblem;

/// What became of a line.
///
/// ```
/// use keystile_store::LineResult;
///
/// assert_eq!(LineResult::Imported.as_str(), "imported");
/// assert!(LineResult::Present.problem().is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineResult {
    /// It was written, or would have been in a dry run.
    Imported,
    /// The store has it already, with the same content.
    Present,
    /// The store has something else in its place, which stays.
    Conflict(LineProblem),
    /// It is a derived key whose source is not in the store yet, or has less there:
    /// [`Importer::finish`](crate::Importer::finish) judges it again.
    Waiting(LineProblem),
    /// It is the [closing line](crate::ExportEnd) of an export.
    End,
    /// It cannot be imported to any store, or not under this lifetime policy.
    Refused(LineProblem),
}

impl LineResult {
    /// The stable name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Present => "present",
            Self::Conflict(_) => "conflict",
            Self::Waiting(_) => "waiting",
            Self::End => "end",
            Self::Refused(_) => "refused",
        }
    }

    /// Why it was left out.
    #[must_use]
    pub const fn problem(&self) -> Option<&LineProblem> {
        match self {
            Self::Conflict(problem) | Self::Waiting(problem) | Self::Refused(problem) => {
                Some(problem)
            }
            Self::Imported | Self::Present | Self::End => None,
        }
    }
}

/// What became of a line, and which it was.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile::{LifetimePolicy, UnixMillis};
/// use keystile_store::{Importer, MemoryStore};
///
/// let (store, now) = (MemoryStore::new(), UnixMillis::new(1_790_000_000_000)?);
/// let mut importer = Importer::new(&store, LifetimePolicy::default());
/// let report = importer.import(&[(7, b"hello")], now).await?;
/// assert_eq!((report[0].line, report[0].result.as_str()), (7, "refused"));
/// assert_eq!(report[0].key_id, None);
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineReport {
    /// The number that it was given.
    pub line: u64,
    /// The key, if the line can be read.
    pub key_id: Option<KeyId>,
    /// What became of it.
    pub result: LineResult,
}
