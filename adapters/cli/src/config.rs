//! The configuration of a command: its store, its peppers and its output format.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use keystile::{By, PepperRing};
use keystile_store::{SqliteStore, Tables};

use crate::any_store::AnyStore;
use crate::failure::Failure;
use crate::io::Io;
use crate::store_url::StoreUrl;

/// The configuration of a command that uses a store.
pub(crate) struct Config {
    pub(crate) store: StoreUrl,
    /// Who runs the command.
    pub(crate) by: By,
    pub(crate) peppers: PepperRing,
    pub(crate) json: bool,
}

/// An open store, and whether it was created just now, which the user should know.
pub(crate) struct Opened {
    pub(crate) store: AnyStore,
    pub(crate) is_new: bool,
}

/// What a command may create.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Create {
    Nothing,
    /// An SQLite file, with its tables.
    File,
    /// An SQLite file, and tables in an empty database. Tables of an earlier version are
    /// updated.
    Tables,
}

impl Config {
    /// Opens a store that exists, and changes none of its tables.
    pub(crate) async fn open(&self) -> Result<Opened, Failure> {
        self.open_or(Create::Nothing).await
    }

    /// Opens a store; nothing if it is a file that does not exist.
    pub(crate) async fn open_if_exists(&self) -> Result<Option<Opened>, Failure> {
        match &self.store {
            StoreUrl::Sqlite(path) if path.symlink_metadata().is_err() => Ok(None),
            _ => self.open().await.map(Some),
        }
    }

    /// Opens the store to issue a key. If there is no SQLite file, one is created.
    ///
    /// Commands check their arguments first, so that wrong arguments never create a file.
    pub(crate) async fn open_to_issue(&self) -> Result<Opened, Failure> {
        self.open_or(Create::File).await
    }

    /// Opens the store to serve from it.
    pub(crate) async fn open_to_serve(&self) -> Result<Opened, Failure> {
        self.open_or(Create::Tables).await
    }

    async fn open_or(&self, create: Create) -> Result<Opened, Failure> {
        match &self.store {
            StoreUrl::Memory => Ok(Opened {
                store: AnyStore::Memory(Box::default()),
                is_new: false,
            }),
            StoreUrl::Sqlite(path) => {
                let is_new = match create {
                    Create::Nothing => {
                        require_file(path)?;
                        false
                    }
                    Create::File | Create::Tables => reserve(path)?,
                };
                // An existing file may be empty: another command has just created it.
                if create != Create::Nothing {
                    let store = SqliteStore::open(path)?;
                    let tables = store.tables().await?;
                    if may_migrate(tables, create)? {
                        store.migrate().await?;
                    }
                }
                Ok(Opened {
                    store: AnyStore::Sqlite(SqliteStore::open_existing(path)?),
                    is_new: is_new && !self.json,
                })
            }
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(url) => {
                if create == Create::Tables {
                    let store = url.open()?;
                    if may_migrate(store.tables().await?, create)? {
                        store.migrate().await?;
                    }
                }
                Ok(Opened {
                    store: AnyStore::Postgres(url.open_existing().await?),
                    is_new: false,
                })
            }
        }
    }
}

impl Opened {
    /// Notes that the store was created: its path may have been mistyped.
    pub(crate) fn note_if_new(&self, io: &mut Io<'_>) {
        if self.is_new {
            io.note("The store did not exist and was created.");
        }
    }
}

/// Whether tables have to be created or updated, and this may do it.
fn may_migrate(tables: Tables, create: Create) -> Result<bool, Failure> {
    match tables {
        Tables::Empty => Ok(true),
        Tables::Old => Ok(create == Create::Tables),
        Tables::Others => Err(Failure::expected(
            "the database has tables of another program, and none of keystile: check --store, or \
             create the tables beside them with keystile migrate",
        )),
        // What opens it has the message.
        _ => Ok(false),
    }
}

const NOT_A_FILE: Failure = Failure::expected("the store's path must be that of a regular file");

/// Fails if there is no file: its path may have been mistyped.
pub(crate) fn require_file(path: &Path) -> Result<(), Failure> {
    if path.is_file() {
        return Ok(());
    }
    // A dangling link is there, too.
    Err(match path.symlink_metadata() {
        Ok(_) => NOT_A_FILE,
        Err(_) => Failure::expected(
            "the store does not exist: check --store; keystile issue and keystile migrate create it",
        ),
    })
}

/// Creates the file with access for its owner only, unless it exists. Returns whether it
/// was created.
///
/// SQLite would create it with the default mode. It gives its journal files the mode of the
/// database file.
pub(crate) fn reserve(path: &Path) -> Result<bool, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            // SQLite would create the target of a dangling link.
            ErrorKind::AlreadyExists if path.is_file() => Ok(false),
            ErrorKind::AlreadyExists => Err(NOT_A_FILE),
            ErrorKind::NotFound => Err(Failure::expected(
                "cannot create the store: its directory does not exist",
            )),
            ErrorKind::PermissionDenied => Err(Failure::expected(
                "cannot create the store: its directory is not writable",
            )),
            ErrorKind::ReadOnlyFilesystem => Err(Failure::expected(
                "cannot create the store: its directory is on a read-only file system",
            )),
            ErrorKind::StorageFull => Err(Failure::expected(
                "cannot create the store: no space left on the device",
            )),
            _ => Err(Failure::expected("cannot create the store")),
        },
    }
}
