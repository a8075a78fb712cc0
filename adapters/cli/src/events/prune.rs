//! `keystile events prune`: removes old events.

use clap::Args;
use keystile::{Millis, UnixMillis};
use keystile_store::{Store, count_events_before, prune_events};
use serde::Serialize;

use crate::actor;
use crate::config::Config;
use crate::duration::{duration, instant_or_age};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// Remove old events. One stays in the place of those that were removed, and says who did it.
///
/// Keys are not changed, and what was revoked stays revoked. A process that has not read a
/// removed event yet reads all its keys again. If it is stopped, run it again.
///
/// Example:
///   keystile events prune --older-than 400d --dry-run
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    age: Age,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: Option<String>,
    /// Change nothing, and print how many it would be.
    #[arg(long)]
    dry_run: bool,
}

/// How old is old.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Age {
    /// What happened before this day or instant.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    before: Option<UnixMillis>,
    /// What happened longer ago than this.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Millis>,
}

/// The result in JSON.
#[derive(Serialize)]
pub(crate) struct Removed {
    dry_run: bool,
    removed: u64,
}

/// Carries out `keystile events prune`.
pub(super) async fn run(
    arguments: &PruneArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let age = &arguments.age;
    let before = instant_or_age(age.before, age.older_than, UnixMillis::now()?);
    let by = actor::because(&config.by, arguments.reason.as_deref())?;
    let removed = if arguments.dry_run {
        count_events_before(&opened.store, before).await?
    } else {
        prune_events(&opened.store.acting_as(&by), before).await?
    };
    show(removed, "event", arguments.dry_run, config, io)
}

/// Prints how many were removed, or would be.
pub(crate) fn show(
    removed: u64,
    what: &str,
    dry_run: bool,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if config.json {
        io.json(&Removed { dry_run, removed })?;
        return Ok(Exit::Done);
    }
    let plural = if removed == 1 { "" } else { "s" };
    let done = if dry_run { "would remove" } else { "removed" };
    io.line(&format!("{done} {removed} {what}{plural}"))?;
    Ok(Exit::Done)
}
