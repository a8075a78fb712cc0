//! Writing the keys of an export to a store, in batches.

use core::fmt;

use keystile::{Event, EventKind, KeyId, LifetimePolicy, UnixMillis};

use super::judge::{Index, Verdict};
use super::line::PortableLine;
use super::problem::LineProblem;
use super::{Asked, DigestBytes, PortableKey};
use crate::batch::Batch;
use crate::error::StoreError;
use crate::store::Store;

/// The limit on the lines of one [`Importer::import`], which is one transaction.
pub const IMPORT_LINES_MAX: usize = 500;

/// Attempts at a batch that others keep from being written.
const TRIES_MAX: usize = 32;

/// Writes the lines of an export to a store.
///
/// It adds keys, and changes none. A key that the store has with other content, or whose id or
/// digest it remembers of another key or of a removed one, is reported and left out: nothing is
/// overwritten, and nothing that was revoked is valid again. A derived key that is live is
/// imported only if its source is live in the store, and it has no more than that; so a file
/// has sources before derived keys, as an export has. The
/// [longest lifetime](LifetimePolicy::longest) of the service holds for each key that has not
/// ended.
///
/// A line that the store has already is reported as [`Present`](LineResult::Present): an import
/// that was interrupted is continued by doing it again. What use changes is not compared: last
/// uses, and what is left of uses and limits.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, LifetimePolicy, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{
///     Importer, LineResult, MemoryStore, PortableKey, PortableLine, record, revoke,
/// };
///
/// let line = PortableLine::Key(Box::new(PortableKey::new(issued.record.clone()))).to_text();
/// let store = MemoryStore::new();
/// let mut importer = Importer::new(&store, LifetimePolicy::default());
/// let report = importer.import(&[(1, line.as_bytes())], now).await?;
/// assert_eq!(report[0].result, LineResult::Imported);
/// let report = importer.import(&[(1, line.as_bytes())], now).await?;
/// assert_eq!(report[0].result, LineResult::Present);
///
/// // A key that was revoked here is not made valid by an import.
/// revoke(&store, &issued.record.id, "leaked", now).await?;
/// let report = importer.import(&[(1, line.as_bytes())], now).await?;
/// assert!(matches!(report[0].result, LineResult::Conflict(_)));
/// assert_eq!(record(&store, &issued.record.id).await?.status.as_str(), "revoked");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Importer<'s, S: ?Sized> {
    store: &'s S,
    lifetimes: LifetimePolicy,
    dry_run: bool,
    /// What a dry run would have written.
    so_far: Index,
}

impl<S: ?Sized> fmt::Debug for Importer<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Importer")
            .field("lifetimes", &self.lifetimes)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

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
            Self::Refused(_) => "refused",
        }
    }

    /// Why it was left out.
    #[must_use]
    pub const fn problem(&self) -> Option<&LineProblem> {
        match self {
            Self::Conflict(problem) | Self::Refused(problem) => Some(problem),
            Self::Imported | Self::Present => None,
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

impl<'s, S: Store + ?Sized> Importer<'s, S> {
    /// An import to this store. Its events are by whom the store
    /// [acts as](crate::Store::acting_as).
    #[must_use]
    pub fn new(store: &'s S, lifetimes: LifetimePolicy) -> Self {
        Self {
            store,
            lifetimes,
            dry_run: false,
            so_far: Index::default(),
        }
    }

    /// Writes nothing, and reports what would become of each line. It keeps in memory what it
    /// would have written, and of metadata a digest.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self {
            dry_run: true,
            ..self
        }
    }

    /// Imports lines, each with its number, in one transaction: those that can be, or, if it
    /// fails, none. At most [`IMPORT_LINES_MAX`]. The report has the same order.
    ///
    /// # Errors
    /// The store's, after which the same lines may be imported again; and
    /// [`StoreError::OutOfRange`] for more lines.
    pub async fn import(
        &mut self,
        lines: &[(u64, &[u8])],
        now: UnixMillis,
    ) -> Result<Vec<LineReport>, StoreError> {
        if lines.len() > IMPORT_LINES_MAX {
            return Err(StoreError::OutOfRange);
        }
        let parsed: Vec<_> = lines
            .iter()
            .map(|(number, line)| (*number, PortableLine::parse(line)))
            .collect();
        let asked = asked(parsed.iter().filter_map(|(_, line)| line.as_ref().ok()));
        for _ in 0..TRIES_MAX {
            let known = self.store.known(&asked).await?;
            let mut index = Index::of(known);
            let mut batch = Batch::new();
            let mut reports = Vec::with_capacity(parsed.len());
            for (number, line) in &parsed {
                let (key_id, result) = match line {
                    Err(problem) => (None, LineResult::Refused(problem.clone())),
                    Ok(line) => {
                        let verdict = index.judge(&self.so_far, line, &self.lifetimes, now);
                        if let Verdict::New { source } = verdict {
                            batch.unchanged.extend(source);
                            add(&mut batch, line, now);
                            index.add(line);
                        }
                        (Some(line.key_id()), verdict.result())
                    }
                };
                reports.push(LineReport {
                    line: *number,
                    key_id,
                    result,
                });
            }
            if self.dry_run {
                self.so_far.merge(index);
                return Ok(reports);
            }
            if batch.events.is_empty() {
                return Ok(reports);
            }
            batch.unchanged.sort_unstable();
            batch.unchanged.dedup();
            match self.store.commit(&batch).await {
                Ok(()) => return Ok(reports),
                // Someone else has written one of these keys: what the store knows is another.
                Err(StoreError::Stale | StoreError::Duplicate) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Stale)
    }
}

/// What the store has to be asked about.
fn asked<'l>(lines: impl Iterator<Item = &'l PortableLine>) -> Asked {
    let mut asked = Asked::default();
    for line in lines {
        asked.ids.push(line.key_id());
        asked.digests.extend(digests(line));
        if let PortableLine::Key(key) = line {
            asked.lineages.push(key.record.lineage);
            let source = key.record.derived_from.map(|from| from.lineage);
            asked.lineages.extend(source);
        }
    }
    asked.ids.sort_unstable();
    asked.ids.dedup();
    asked.lineages.sort_unstable();
    asked.lineages.dedup();
    asked.digests.sort_unstable();
    asked.digests.dedup();
    asked
}

/// All digests of a line.
pub(super) fn digests(line: &PortableLine) -> impl Iterator<Item = DigestBytes> {
    let (own, others) = match line {
        PortableLine::Key(key) => (Some(*key.record.digest.bytes()), &key.former_digests),
        PortableLine::Removed(removed) => (None, &removed.digests),
    };
    own.into_iter().chain(others.iter().copied())
}

/// Writes a line with the batch, and the event of it.
fn add(batch: &mut Batch, line: &PortableLine, now: UnixMillis) {
    let version = match line {
        PortableLine::Key(key) => {
            add_key(batch, key);
            key.record.version
        }
        PortableLine::Removed(removed) => {
            batch.imported.removed.push(removed.clone());
            removed.version
        }
    };
    let event = Event::new(EventKind::Imported, line.key_id(), now);
    batch.events.push(event.with_version(version));
}

fn add_key(batch: &mut Batch, key: &PortableKey) {
    let record = &key.record;
    batch.inserts.push(record.clone());
    let imported = &mut batch.imported;
    imported.rates.push((record.lineage, key.rate));
    let former = key.former_digests.iter();
    imported
        .former_digests
        .extend(former.map(|digest| (*digest, record.id)));
}
