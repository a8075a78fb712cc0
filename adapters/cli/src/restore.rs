//! `keystile restore`: puts a backup in the place of the store.

use std::path::PathBuf;

use clap::Args;
use keystile_store::{RestoreOptions, SqliteStore};
use serde_json::json;

use crate::backup::sqlite_path;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

const NOT_POSTGRES: Failure = Failure::expected(
    "restore writes SQLite stores only; for a PostgreSQL store, stop its processes and use pg_restore",
);

/// Restore the store from a backup, while processes use it.
///
/// Keys get the state that they had in the backup, with one exception: a key that was revoked
/// after the backup stays revoked, as far as the present store knows. Uses that were spent
/// stay spent, and the events of the present store remain. Keys that were issued after the
/// backup are lost. Running processes notice it as they notice any other change.
///
/// If the present store is damaged, move its files away first: then there is nothing to carry
/// over. For SQLite stores only.
///
/// Example:
///   keystile restore /var/backups/keystile-2026-11-30.db --dry-run
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RestoreArguments {
    /// The backup, which does not change.
    #[arg(value_name = "FILE", value_parser = values::file)]
    file: PathBuf,
    /// Only print what would change.
    #[arg(long)]
    dry_run: bool,
    /// Revive keys that were revoked after the backup.
    #[arg(long)]
    forget_revocations: bool,
}

/// Carries out `keystile restore`.
pub(crate) async fn run(
    arguments: &RestoreArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let path = sqlite_path(config, NOT_POSTGRES)?;
    if !arguments.file.is_file() {
        return Err(Failure::expected("the backup must be an existing file"));
    }
    let mut options = RestoreOptions::new();
    options.dry_run = arguments.dry_run;
    options.forget_revocations = arguments.forget_revocations;
    let restored = SqliteStore::restore(path, &arguments.file, options).await?;
    if config.json {
        io.json(&json!({
            "keys": restored.keys,
            "revocations_carried": restored.revocations_carried,
            "revocations_forgotten": restored.revocations_forgotten,
            "changed": restored.changed,
            "lost": restored.lost,
            "dry_run": arguments.dry_run,
        }))?;
        return Ok(Exit::Done);
    }
    let done = match arguments.dry_run {
        true => "would restore",
        false => "restored",
    };
    io.line(&format!("{done} {} keys", restored.keys))?;
    for (count, text) in [
        (
            restored.revocations_carried,
            "revoked after the backup, and stay revoked",
        ),
        (
            restored.revocations_forgotten,
            "revoked after the backup, and are revived",
        ),
        (
            restored.changed,
            "otherwise changed after the backup, and are as they were",
        ),
        (restored.lost, "issued after the backup, and are lost"),
    ] {
        if count > 0 {
            io.line(&format!("{count:>8}  {text}"))?;
        }
    }
    Ok(Exit::Done)
}
