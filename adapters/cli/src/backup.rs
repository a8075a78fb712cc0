//! `keystile backup`: copies the store while it is in use.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use keystile_store::SqliteStore;
use serde_json::json;

use crate::config::{Config, require_file};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::store_url::StoreUrl;
use crate::values;

/// How often a long copy reports how far it is.
const REPORT_EVERY: Duration = Duration::from_secs(2);

const NOT_POSTGRES: Failure = Failure::expected(
    "backup copies SQLite stores only; for a PostgreSQL store, use pg_dump --format=custom",
);
const NOT_MEMORY: Failure =
    Failure::expected("a store in memory ends with the command: name a file with --store");

/// Copy the store to a file, while processes use it.
///
/// The copy is of one instant, in one file that only its owner may read (mode 0600). An
/// existing file is refused. A failed backup leaves no file. For SQLite stores only: back up
/// a PostgreSQL store with pg_dump.
///
/// Do not copy the store's file by other means while a process has it open: the latest changes
/// are in a second file.
///
/// Example:
///   keystile backup /var/backups/keystile-2026-11-30.db
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BackupArguments {
    /// The file to create.
    #[arg(value_name = "FILE", value_parser = values::file)]
    file: PathBuf,
}

/// Carries out `keystile backup`.
pub(crate) async fn run(
    arguments: &BackupArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let path = sqlite_path(config, NOT_POSTGRES)?;
    require_file(path)?;
    // Also if its tables are of an earlier version: a backup comes before their update.
    let store = SqliteStore::open(path)?;
    let copied = Arc::new(AtomicU64::new(0));
    let so_far = Arc::clone(&copied);
    let copy = store.backup(&arguments.file, move |progress| {
        let share = progress.copied.saturating_mul(100);
        let percent = share.checked_div(progress.total).unwrap_or(0);
        so_far.store(percent, Ordering::Relaxed);
    });
    let mut copy = core::pin::pin!(copy);
    let keys = loop {
        tokio::select! {
            done = &mut copy => break done?,
            () = tokio::time::sleep(REPORT_EVERY) => {
                let percent = copied.load(Ordering::Relaxed);
                io.note(&format!("keystile: copied {percent} %"));
            }
        }
    };
    let bytes = std::fs::metadata(&arguments.file).map_or(0, |file| file.len());
    if config.json {
        io.json(&json!({ "keys": keys, "bytes": bytes }))?;
    } else {
        io.line(&format!("backed up {keys} keys in {bytes} bytes"))?;
    }
    Ok(Exit::Done)
}

/// The path of the store, if it is an SQLite file.
#[cfg_attr(
    not(feature = "postgres"),
    expect(unused_variables, reason = "there is no other server")
)]
pub(crate) fn sqlite_path(config: &Config, not_postgres: Failure) -> Result<&Path, Failure> {
    match &config.store {
        StoreUrl::Sqlite(path) => Ok(path),
        StoreUrl::Memory => Err(NOT_MEMORY),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(_) => Err(not_postgres),
    }
}
