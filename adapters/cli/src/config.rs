//! The configuration of a command: its store, its peppers and its output format.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use keystile::PepperRing;
use keystile_store::{MemoryStore, SqliteStore};

use crate::any_store::AnyStore;
use crate::failure::Failure;
use crate::io::Io;
use crate::store_url::StoreUrl;

/// The configuration of a command that uses a store.
pub(crate) struct Config {
    pub(crate) store: StoreUrl,
    pub(crate) peppers: PepperRing,
    pub(crate) json: bool,
}

/// An open store, and whether it was created just now, which the user should know.
pub(crate) struct Opened {
    pub(crate) store: AnyStore,
    pub(crate) is_new: bool,
}

impl Config {
    /// Opens the store, and creates it if it does not exist.
    ///
    /// Commands check their arguments first, so that wrong arguments never create a file.
    pub(crate) async fn open(&self) -> Result<Opened, Failure> {
        match &self.store {
            StoreUrl::Memory => Ok(Opened {
                store: AnyStore::Memory(MemoryStore::new()),
                is_new: false,
            }),
            StoreUrl::Sqlite(path) => {
                let is_new = reserve(path)?;
                let store = SqliteStore::open_existing(path)?;
                store.migrate().await?;
                Ok(Opened {
                    store: AnyStore::Sqlite(store),
                    is_new: is_new && !self.json,
                })
            }
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(url) => {
                let store = url.open()?;
                let steps = store.migrate().await?;
                Ok(Opened {
                    store: AnyStore::Postgres(store),
                    is_new: steps > 0 && !self.json,
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

/// Creates the file with access for its owner only, unless it exists. Returns whether it
/// was created.
///
/// SQLite would create it with the default mode. It gives its journal files the mode of the
/// database file.
fn reserve(path: &Path) -> Result<bool, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            // SQLite would create the target of a dangling link.
            ErrorKind::AlreadyExists if path.is_file() => Ok(false),
            ErrorKind::AlreadyExists => Err(Failure::expected(
                "the store's path must be that of a regular file",
            )),
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
