//! The first admin key: printed, or written to a file.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use keystile::{Issued, KeyFormat, UnixMillis};
use keystile_serve::{ProposedAdminKey, first_admin_key};
use keystile_store::{StoreError, revoke};

use crate::any_store::AnyStore;
use crate::config::Config;
use crate::damage;
use crate::failure::Failure;
use crate::io::Io;
use crate::print_new_key::print_new_key;

/// Attempts before it fails because other writers are faster. They outlast the patience.
const TRIES_MAX: u32 = 256;
/// How long another process, which has created the file, may take to save its key.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// Issues the first admin key if the store has none, and writes it to this file, or prints
/// it.
pub(super) async fn issue(
    store: &AnyStore,
    format: &KeyFormat,
    file: Option<&Path>,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    match file {
        None => print(store, format, config, io).await,
        Some(path) => write(store, format, path, config, io).await,
    }
}

/// None if a row that cannot be read may be an admin key: all other keys are served meanwhile.
fn unless_damaged<T>(
    found: Result<Option<T>, StoreError>,
    io: &mut Io<'_>,
) -> Result<Option<T>, Failure> {
    match found {
        Err(StoreError::Corrupt(row)) => {
            io.note(&damage::note(&row));
            io.note("keystile: issued no admin key, because that row may be one: correct it first");
            Ok(None)
        }
        found => Ok(found?),
    }
}

async fn print(
    store: &AnyStore,
    format: &KeyFormat,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let now = UnixMillis::now()?;
    let issued = first_admin_key(store, format, &config.peppers, now).await;
    let Some(issued) = unless_damaged(issued, io)? else {
        return Ok(());
    };
    let (key, record) = (&issued.key, &issued.record);
    let shown = print_new_key(key, record, None, now, config.json, io);
    if let Err(lost) = shown {
        revoke(store, &record.id, "it could not be printed", now).await?;
        return Err(lost);
    }
    io.note(&format!("keystile: issued the admin key {}", record.id));
    io.note("This is the only time it is shown. It may do everything, and never expires.");
    Ok(())
}

/// The file is on the disk before the store has the key: a crash in between leaves a text
/// that no store knows, and never a key that no one has.
async fn write(
    store: &AnyStore,
    format: &KeyFormat,
    path: &Path,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let mut waited = Duration::ZERO;
    for _ in 0..TRIES_MAX {
        let now = UnixMillis::now()?;
        let proposed = ProposedAdminKey::new(store, format, &config.peppers, now).await;
        let Some(proposed) = unless_damaged(proposed, io)? else {
            return Ok(());
        };
        let file = match KeyFile::create(path, proposed.issued()) {
            Ok(file) => file,
            // Perhaps by a process that started at the same time, and is about to save its key.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && waited < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
                waited = waited.saturating_add(PAUSE);
                continue;
            }
            Err(error) => return Err(refused(&error)),
        };
        match proposed.save(store).await {
            Ok(true) => {
                let id = &proposed.issued().record.id;
                tracing::info!(key_id = %id, "issued the first admin key");
                io.note(&format!(
                    "keystile: issued the admin key {id}, and wrote it to the file of --admin-key-file"
                ));
                io.note("It may do everything, and never expires.");
                return Ok(());
            }
            // Another key was saved: this one was not, and no one has seen it.
            Ok(false) => file.remove()?,
            // Whether it was saved is not known.
            Err(error @ StoreError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => {
                file.remove()?;
                return Err(error.into());
            }
        }
    }
    Err(StoreError::Stale.into())
}

/// A file that this process has created.
struct KeyFile(PathBuf);

impl KeyFile {
    /// Creates a file that only its owner may read, and returns when it is on the disk.
    fn create(path: &Path, issued: &Issued) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let created = Self(path.to_owned());
        let written = fill(file, path, issued);
        if written.is_err() {
            // It is not whole, and the error that matters is the first.
            let _ = std::fs::remove_file(path);
        }
        written.map(|()| created)
    }

    fn remove(self) -> Result<(), Failure> {
        std::fs::remove_file(self.0)
            .map_err(|_| Failure::expected("--admin-key-file: cannot remove the file again"))
    }
}

fn fill(mut file: File, path: &Path, issued: &Issued) -> io::Result<()> {
    // In one step: a reader sees all of the key.
    let mut line = zeroize::Zeroizing::new(Vec::with_capacity(256));
    line.extend_from_slice(issued.key.expose().as_bytes());
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_all()?;
    // The name is on the disk when its directory is.
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn refused(error: &io::Error) -> Failure {
    Failure::expected(match error.kind() {
        ErrorKind::AlreadyExists => {
            "--admin-key-file: the file exists, and the store has no admin key; remove the file first"
        }
        ErrorKind::NotFound => "--admin-key-file: the directory of the file does not exist",
        ErrorKind::PermissionDenied => {
            "--admin-key-file: the directory of the file is not writable"
        }
        ErrorKind::ReadOnlyFilesystem => {
            "--admin-key-file: the file must not be on a read-only file system"
        }
        ErrorKind::StorageFull => "--admin-key-file: no space left on the device",
        _ => "--admin-key-file: cannot write the file",
    })
}
