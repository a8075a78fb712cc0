//! A copy of the database that is made while others use it.

use core::time::Duration;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::connection::{self, reader};
use super::fault::unavailable;
use super::migration;
use crate::error::{StoreError, UnavailableKind};

/// Pages that are copied between two reports: about a MiB.
const STEP_PAGES: i32 = 256;
/// How long a step waits for a lock in all.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// How much of a database was copied.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// use keystile_store::{CopyProgress, SqliteStore};
///
/// let store = SqliteStore::open(folder.path().join("keystile.db"))?;
/// store.migrate().await?;
/// let print = |done: CopyProgress| println!("{} of {} pages", done.copied, done.total);
/// let file = folder.path().join("backup.db");
/// assert_eq!(store.backup(&file, print).await?, 0, "no keys yet");
/// // An existing file is not overwritten.
/// assert!(store.backup(&file, print).await.is_err());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// Pages that were copied.
    pub copied: u64,
    /// Pages in all.
    pub total: u64,
}

/// The file, until it is whole: a copy that fails leaves none.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Copies the store to a new file, and returns the number of keys in it.
pub(super) fn run(
    source: &Path,
    path: &Path,
    report: impl FnMut(CopyProgress),
) -> Result<u64, StoreError> {
    let source = reader(source)?;
    migration::require(&source)?;
    // Held until the end, so that all pages are of one instant, and so that a writer does not
    // make the copy begin again.
    source.execute_batch("BEGIN").map_err(unavailable)?;
    migration::require(&source)?;
    if !connection::create(path)? {
        return Err(exists());
    }
    let unfinished = Unfinished(path.to_owned());
    let mut copy = open(path)?;
    copy_all(&source, &mut copy, report)?;
    // One file, which can be read where no other can be created beside it.
    copy.pragma_update(None, "journal_mode", "delete")
        .map_err(unavailable)?;
    check(&copy)?;
    let keys = count(&copy)?;
    copy.close().map_err(|(_, error)| unavailable(error))?;
    sync(path).map_err(|error| StoreError::unavailable_because(UnavailableKind::Io, error))?;
    core::mem::forget(unfinished);
    Ok(keys)
}

/// The number of keys in a store.
pub(super) fn count(database: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM main.api_keys";
    let keys = database.query_row(sql, [], |row| row.get::<_, i64>(0));
    u64::try_from(keys.map_err(unavailable)?).map_err(|_| StoreError::OutOfRange)
}

/// Copies all pages in one transaction.
pub(super) fn copy_all(
    from: &Connection,
    to: &mut Connection,
    mut report: impl FnMut(CopyProgress),
) -> Result<(), StoreError> {
    let backup = Backup::new(from, to).map_err(unavailable)?;
    loop {
        let is_done = step(&backup, STEP_PAGES)?;
        let progress = backup.progress();
        let total = u64::try_from(progress.pagecount).unwrap_or(0);
        let left = u64::try_from(progress.remaining).unwrap_or(0);
        report(CopyProgress {
            copied: total.saturating_sub(left),
            total,
        });
        if is_done {
            return Ok(());
        }
    }
}

/// Copies some pages, and returns whether these were the last ones.
pub(super) fn step(backup: &Backup<'_, '_>, pages: i32) -> Result<bool, StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        match backup.step(pages).map_err(unavailable)? {
            StepResult::Done => return Ok(true),
            StepResult::Busy | StepResult::Locked => {
                if waited >= PATIENCE {
                    return Err(StoreError::unavailable_because(
                        UnavailableKind::Locked,
                        Locked,
                    ));
                }
                std::thread::sleep(PAUSE);
                waited = waited.saturating_add(PAUSE);
            }
            // `More`; the enumeration may grow.
            _ => return Ok(false),
        }
    }
}

/// Fails if the database is damaged.
pub(super) fn check(database: &Connection) -> Result<(), StoreError> {
    let result: String = database
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(unavailable)?;
    if result == "ok" {
        return Ok(());
    }
    Err(StoreError::unavailable_because(
        UnavailableKind::Damaged,
        Inconsistent,
    ))
}

/// A database file, which must exist.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // As in `Connections::open`: this is always the name of a file.
    Connection::open_with_flags(Path::new(".").join(path), flags).map_err(unavailable)
}

fn exists() -> StoreError {
    StoreError::unavailable_because(UnavailableKind::FileExists, Exists)
}

/// The file and its name are on the disk when this returns.
fn sync(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    if cfg!(unix) {
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("the file exists already")]
struct Exists;

#[derive(Debug, thiserror::Error)]
#[error("the database is locked by another program")]
struct Locked;

#[derive(Debug, thiserror::Error)]
#[error("the database's structure is damaged")]
struct Inconsistent;
