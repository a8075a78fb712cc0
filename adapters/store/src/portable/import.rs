//! Writing the keys of an export to a store, in batches.

use core::fmt;

use keystile::{Event, EventKind, LifetimePolicy, UnixMillis};

use super::closing::Closing;
use super::end::ExportEnd;
use super::held::Held;
use super::judge::{Index, Verdict};
use super::line::PortableLine;
use super::problem::LineProblem;
use super::report::{LineReport, LineResult};
use super::{Asked, DigestBytes, Known, PortableKey};
use crate::batch::Batch;
use crate::error::StoreError;
use crate::store::Store;

/// The limit on the lines of one [`Importer::import`], which is one transaction.
pub const IMPORT_LINES_MAX: usize = 500;

/// Attempts at a batch that others keep from being written.
const TRIES_MAX: usize = 32;
/// Those after which a row that nothing is known of is in the way.
const DUPLICATES_MAX: usize = 3;

/// Writes the lines of an export to a store.
///
/// It adds keys, and changes none. A key that the store has with other content, or whose id or
/// digest it remembers of another key or of a removed one, is reported and left out: nothing is
/// overwritten, and nothing that was revoked is valid again. A derived key that is live is
/// imported only if its source is live in the store, and it has no more than that. If this is
/// not so yet, since the source or its successor is a later line, it [waits](LineResult::Waiting)
/// until [`finish`](Self::finish) judges it again. The
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
/// assert!(importer.finish(now).await?.is_empty(), "no line waits for another");
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
    /// What a dry run would have written, and the lineages that have the uses of their lines.
    so_far: Index,
    held: Held,
    closing: Closing,
}

impl<S: ?Sized> fmt::Debug for Importer<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Importer")
            .field("lifetimes", &self.lifetimes)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
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
            held: Held::default(),
            closing: Closing::default(),
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
    /// fails, none. At most [`IMPORT_LINES_MAX`]. The report has the same order. Call
    /// [`finish`](Self::finish) after the last ones.
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
        let closing = self.closing;
        let written = self.write(lines, now).await;
        let mut reports = written.inspect_err(|_| {
            // The same lines come again.
            self.closing = closing;
        })?;
        for (report, (_, text)) in reports.iter_mut().zip(lines) {
            self.held.hold(report, text);
        }
        Ok(reports)
    }

    /// Judges the lines that wait again, after the last one: those are imported whose sources
    /// are in the store by now. Reports each of them.
    ///
    /// # Errors
    /// The store's, after which it may be called again.
    pub async fn finish(&mut self, now: UnixMillis) -> Result<Vec<LineReport>, StoreError> {
        let counted = self.closing;
        let done = self.judge_again(now).await;
        // These lines were counted before.
        self.closing = counted;
        done
    }

    async fn judge_again(&mut self, now: UnixMillis) -> Result<Vec<LineReport>, StoreError> {
        let mut done = Vec::new();
        let mut waiting = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let held = core::mem::take(&mut self.held);
            let mut reports = Vec::with_capacity(held.lines().len());
            for part in held.lines().chunks(IMPORT_LINES_MAX) {
                let lines: Vec<_> = part
                    .iter()
                    .map(|(number, text)| (*number, &**text))
                    .collect();
                match self.write(&lines, now).await {
                    Ok(part) => reports.extend(part),
                    Err(error) => {
                        self.held = held;
                        return Err(error);
                    }
                }
            }
            let is_new = |report: &LineReport| report.result == LineResult::Imported;
            let some_are_new = reports.iter().any(is_new);
            waiting = self.held.keep(held, reports, &mut done);
            if !some_are_new || waiting.is_empty() {
                break;
            }
        }
        // Also those of a longer chain of keys than can be issued.
        done.extend(waiting.into_iter().map(|mut report| {
            report.result = report.result.at_last();
            report
        }));
        self.held = Held::default();
        done.sort_by_key(|report| report.line);
        Ok(done)
    }

    /// Whether no line of an export is missing: the last line was its [closing line](ExportEnd),
    /// and each closing line had the numbers of those before it.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.closing.is_whole()
    }

    async fn write(
        &mut self,
        lines: &[(u64, &[u8])],
        now: UnixMillis,
    ) -> Result<Vec<LineReport>, StoreError> {
        let mut parsed = Vec::with_capacity(lines.len());
        for (number, text) in lines {
            parsed.push((*number, self.parse(text)));
        }
        if let Some(reports) = self.write_together(&parsed, now).await? {
            return Ok(reports);
        }
        // One by one, so that the line that cannot be written is the only one that is not.
        let mut reports = Vec::with_capacity(parsed.len());
        for line in &parsed {
            match self
                .write_together(core::slice::from_ref(line), now)
                .await?
            {
                Some(one) => reports.extend(one),
                None => reports.push(in_the_way(line)),
            }
        }
        Ok(reports)
    }

    fn parse(&mut self, text: &[u8]) -> Parsed {
        let Some(end) = ExportEnd::parse(text) else {
            self.closing.line();
            return PortableLine::parse(text).map_or_else(Parsed::Problem, Parsed::Line);
        };
        match self.closing.end(&end) {
            true => Parsed::End,
            false => {
                let expected = "must have the numbers of the lines before it: some are missing";
                Parsed::Problem(LineProblem::new("end", expected))
            }
        }
    }

    /// None if rows that cannot be read keep the lines from being written.
    async fn write_together(
        &mut self,
        parsed: &[(u64, Parsed)],
        now: UnixMillis,
    ) -> Result<Option<Vec<LineReport>>, StoreError> {
        let asked = asked(parsed.iter().filter_map(|(_, line)| line.line()));
        let mut duplicates = 0_usize;
        for _ in 0..TRIES_MAX {
            let mut index = Index::of(self.known(&asked).await?);
            let mut batch = Batch::new();
            let mut reports = Vec::with_capacity(parsed.len());
            for (number, line) in parsed {
                let (key_id, result) = match line {
                    Parsed::Problem(problem) => (None, LineResult::Refused(problem.clone())),
                    Parsed::End => (None, LineResult::End),
                    Parsed::Line(line) => {
                        let verdict = index.judge(&self.so_far, line, &self.lifetimes, now);
                        if matches!(verdict, Verdict::New { .. } | Verdict::Present) {
                            index.agree(&self.so_far, line);
                        }
                        if let Verdict::New { relied_on } = &verdict {
                            batch.unchanged.extend(relied_on);
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
                return Ok(Some(reports));
            }
            batch.unchanged.sort_unstable();
            batch.unchanged.dedup();
            let written = match batch.events.is_empty() {
                true => Ok(()),
                false => self.store.commit(&batch).await,
            };
            match written {
                Ok(()) => {
                    self.so_far.agree_as(index);
                    return Ok(Some(reports));
                }
                // Someone else has written one of these keys: what the store knows is another.
                Err(StoreError::Stale) => {}
                Err(StoreError::Duplicate) if duplicates < DUPLICATES_MAX => {
                    duplicates = duplicates.saturating_add(1);
                }
                Err(StoreError::Duplicate) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Stale)
    }

    /// What the store knows of the lines, and of the keys that had their digests.
    async fn known(&self, asked: &Asked) -> Result<Known, StoreError> {
        let mut known = self.store.known(asked).await?;
        let holders = known
            .former_digests
            .iter()
            .filter_map(|(_, holder)| *holder);
        let others = Asked {
            ids: holders
                .filter(|id| asked.ids.binary_search(id).is_err())
                .collect(),
            ..Asked::default()
        };
        if !others.ids.is_empty() {
            let more = self.store.known(&others).await?;
            known.records.extend(more.records);
            known.damaged.extend(more.damaged);
            known.removed.extend(more.removed);
        }
        Ok(known)
    }
}

/// Rounds in which lines that wait are judged again: as many as keys derive from each other.
const ROUNDS_MAX: usize = 9;

/// A line of an import.
enum Parsed {
    Line(PortableLine),
    End,
    Problem(LineProblem),
}

impl Parsed {
    const fn line(&self) -> Option<&PortableLine> {
        match self {
            Self::Line(line) => Some(line),
            Self::End | Self::Problem(_) => None,
        }
    }
}

fn in_the_way((number, line): &(u64, Parsed)) -> LineReport {
    let expected = "a row of the store that cannot be read has this id or digest";
    LineReport {
        line: *number,
        key_id: line.line().map(PortableLine::key_id),
        result: LineResult::Conflict(LineProblem::new("digest", expected)),
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
