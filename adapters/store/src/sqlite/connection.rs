//! Connections to a database file, and work on them outside the async threads.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Mutex as AsyncMutex;

use super::busy;
use crate::error::{StoreError, UnavailableKind};
use crate::sqlite::{fault::unavailable, migration};
use crate::tables::Tables;

/// How long a statement waits for other processes to release the file's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The length of a [`pause`].
const PAUSE: Duration = Duration::from_millis(5);
/// The connections that can read at the same time.
const READERS: usize = 4;
/// The limit on a connection's prepared statements; the store has fewer.
const STATEMENTS: usize = 32;

/// The connections to one file. Writers take turns; readers do not wait for them.
///
/// A writer waits for its turn outside the threads for blocking work, which readers need too:
/// if another program holds the write lock, one thread waits for it and no more.
pub(super) struct Connections {
    path: PathBuf,
    writers: Arc<AsyncMutex<Writers>>,
    readers: [Mutex<Option<Connection>>; READERS],
    next_reader: AtomicUsize,
}

struct Writers {
    durable: Connection,
    quick: Connection,
}

/// Whoever waits for a write; it is gone when this is dropped.
#[derive(Default)]
struct Caller {
    gone: Arc<AtomicBool>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// What a power failure may undo of an acknowledged write.
#[derive(Clone, Copy)]
pub(super) enum Writing {
    /// Nothing: it is on the disk (`synchronous=FULL`).
    Durable,
    /// The last moments (`synchronous=NORMAL`): a limiter would then allow a few requests
    /// again, and in return no request waits for the disk.
    Quick,
}

impl Connections {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // The path must always name a file: to SQLite the bare name `:memory:` and an empty
        // one mean something else.
        let path = Path::new(".").join(path);
        let mut durable = writer(&path, "FULL")?;
        let mut quick = writer(&path, "NORMAL")?;
        if is_own(&durable)? {
            use_wal(&durable)?;
        }
        for writer in [&mut durable, &mut quick] {
            // From now on instead of the timeout, which does not end when the caller is gone.
            let handler = writer.busy_handler(Some(busy::wait));
            handler.map_err(unavailable)?;
        }
        Ok(Self {
            path,
            writers: Arc::new(AsyncMutex::new(Writers { durable, quick })),
            readers: [const { Mutex::new(None) }; READERS],
            next_reader: AtomicUsize::new(0),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a connection that may write.
    ///
    /// If the caller stops waiting, work that has not begun to write never does.
    pub(super) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        writing: Writing,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut writers = Arc::clone(&self.writers).lock_owned().await;
        let caller = Caller::default();
        let gone = Arc::clone(&caller.gone);
        off_thread(move || {
            // A panic in `work` rolls its transaction back, so the connection stays usable.
            let connection = match writing {
                Writing::Durable => &mut writers.durable,
                Writing::Quick => &mut writers.quick,
            };
            busy::waiting_for(gone, || work(connection))
        })
        .await
    }

    /// Runs `work` on a connection that reads.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connections = Arc::clone(self);
        off_thread(move || {
            let turn = connections.next_reader.fetch_add(1, Ordering::Relaxed);
            let slot = turn
                .checked_rem(READERS)
                .and_then(|turn| connections.readers.get(turn));
            let Some(slot) = slot else {
                return work(&reader(&connections.path)?);
            };
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            match &*slot {
                Some(connection) => work(connection),
                None => work(slot.insert(reader(&connections.path)?)),
            }
        })
        .await
    }
}

/// Creates an empty database file that only its owner may read, unless the file exists, and
/// returns whether it did.
///
/// SQLite creates its log files with the same mode.
pub(super) fn create(path: &Path) -> Result<bool, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(StoreError::unavailable_because(
            UnavailableKind::CannotOpen,
            error,
        )),
    }
}

/// What the file at the path holds; it must exist.
pub(super) fn tables(path: &Path) -> Result<Tables, StoreError> {
    migration::tables(&reader(&Path::new(".").join(path))?)
}

fn writer(path: &Path, synchronous: &str) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection
        .pragma_update(None, "synchronous", synchronous)
        .map_err(unavailable)?;
    Ok(connection)
}

pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(unavailable)?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    // Without the flags that create a file, which `create` does, and that accept `file:` URIs.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(unavailable)
}

/// Whether the file is empty or has keystile's tables. Opening another program's file must
/// not change it.
fn is_own(connection: &Connection) -> Result<bool, StoreError> {
    let tables = migration::tables(connection);
    match tables {
        Ok(tables) => Ok(!matches!(tables, Tables::Others | Tables::NotAdopted)),
        Err(error) if error.unavailable_kind() == Some(UnavailableKind::TooNew) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Enables the write-ahead log, with which readers and a writer do not wait for each other.
/// The file keeps this setting.
pub(super) fn use_wal(connection: &Connection) -> Result<(), StoreError> {
    let pause = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    loop {
        let set = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        match set {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => return Err(StoreError::unavailable(NoWal)),
            // The change of mode ignores the busy timeout.
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && waited < BUSY_TIMEOUT =>
            {
                std::thread::sleep(pause);
                waited = waited.saturating_add(pause);
            }
            Err(error) => return Err(unavailable(error)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected a file system that supports SQLite's write-ahead log")]
struct NoWal;

/// Waits for a moment, so that others get the file's lock: SQLite has no queue for it.
pub(super) async fn pause() -> Result<(), StoreError> {
    off_thread(|| {
        std::thread::sleep(PAUSE);
        Ok(())
    })
    .await
}

pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::unavailable(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Connections, create, reader};
    use rusqlite::Connection;

    fn pragma(connection: &Connection, name: &str) -> i64 {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn the_file_of_another_program_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        let theirs = Connection::open(&path).unwrap();
        theirs.execute("CREATE TABLE notes (text)", []).unwrap();
        drop(theirs);
        let before = std::fs::read(&path).unwrap();
        drop(Connections::open(&path).unwrap());
        assert!(std::fs::read(&path).unwrap() == before, "not even its mode");
    }

    #[test]
    fn durable_writes_are_synced_and_readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        create(&path).unwrap();
        let connections = Connections::open(&path).unwrap();
        let writers = connections.writers.try_lock().unwrap();
        assert_eq!(pragma(&writers.durable, "synchronous"), 2, "FULL");
        assert_eq!(pragma(&writers.quick, "synchronous"), 1, "NORMAL");
        let reader = reader(&path).unwrap();
        for connection in [&writers.durable, &writers.quick, &reader] {
            assert_eq!(pragma(connection, "foreign_keys"), 1);
        }
        assert_eq!(pragma(&reader, "busy_timeout"), 5_000);
        assert!(writers.durable.execute_batch("CREATE TABLE t (i)").is_ok());
        assert!(reader.execute_batch("INSERT INTO t VALUES (1)").is_err());
    }

    /// A bare `:memory:` would be a store that is empty at each start.
    #[test]
    fn a_bare_name_is_the_name_of_a_file() {
        for name in [":memory:", "", "file::memory:"] {
            assert!(
                Connections::open(Path::new(name)).is_err(),
                "there is no file {name:?}"
            );
        }
    }
}
