//! `keystile suspend` and `keystile resume`: disables a key for a while.

use clap::Args;
use keystile::{KeyId, KeyRecord, UnixMillis};
use keystile_serve::KeyView;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// Suspend a key: it is refused until it is resumed. Its expiry does not change.
///
/// Example:
///   keystile suspend 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct SuspendArguments {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
}

/// Resume a suspended key.
///
/// Example:
///   keystile resume 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResumeArguments {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
}

/// Carries out `keystile suspend`.
pub(crate) async fn suspend(
    arguments: &SuspendArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let outcome = keystile_store::suspend(&opened.store, &arguments.id, now).await?;
    let done = if outcome.is_changed() {
        "suspended"
    } else {
        "already suspended:"
    };
    show(outcome.record(), done, now, config, io)
}

/// Carries out `keystile resume`.
pub(crate) async fn resume(
    arguments: &ResumeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let outcome = keystile_store::resume(&opened.store, &arguments.id, now).await?;
    let done = if outcome.is_changed() {
        "resumed"
    } else {
        "already active:"
    };
    show(outcome.record(), done, now, config, io)
}

fn show(
    record: &KeyRecord,
    done: &str,
    now: UnixMillis,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if config.json {
        io.json(&KeyView::new(record, now))?;
    } else {
        io.line(&format!("{done} {}  {}", record.id, record.client_name))?;
    }
    Ok(Exit::Done)
}
