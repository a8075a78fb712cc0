//! What every command on a store works with: which store, which peppers, which output.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use keystile::PepperRing;
use keystile_store::{MemoryStore, SqliteStore};

use crate::any_store::AnyStore;
use crate::failure::Failure;
use crate::store_url::StoreUrl;
use crate::surroundings::Surroundings;

/// What every command on a store works with.
pub(crate) struct Setting {
    pub(crate) store: StoreUrl,
    pub(crate) peppers: PepperRing,
    pub(crate) json: bool,
}

/// An open store, and whether it was made just now for somebody who should hear of it.
pub(crate) struct Opened {
    pub(crate) store: AnyStore,
    pub(crate) is_new: bool,
}

impl Setting {
    /// Opens the store, which is made where it is not there yet.
    ///
    /// A command checks its arguments first: what ends with exit code 2 leaves no file.
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
    /// Says that the store was made: whoever mistyped its path should hear of it.
    pub(crate) fn tell_if_new(&self, surroundings: &mut Surroundings<'_>) {
        if self.is_new {
            surroundings.remark("There was no store yet: a new one was made.");
        }
    }
}

/// Makes the file, for its owner alone, unless it is there; whether it was made.
///
/// SQLite would make it as readable as other files. What it puts beside it later, it makes
/// with the mode of the file.
fn reserve(path: &Path) -> Result<bool, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            // Of a link that leads nowhere, SQLite would make the target.
            ErrorKind::AlreadyExists if path.is_file() => Ok(false),
            ErrorKind::AlreadyExists => Err(Failure::expected(
                "the store's path is that of something other than a file",
            )),
            ErrorKind::NotFound => Err(Failure::expected(
                "the store's file cannot be made: its folder is not there",
            )),
            ErrorKind::PermissionDenied => Err(Failure::expected(
                "the store's file cannot be made: its folder may not be written",
            )),
            ErrorKind::ReadOnlyFilesystem => Err(Failure::expected(
                "the store's file cannot be made: its folder is on a read-only file system",
            )),
            ErrorKind::StorageFull => Err(Failure::expected(
                "the store's file cannot be made: no space is left",
            )),
            _ => Err(Failure::expected("the store's file cannot be made")),
        },
    }
}
