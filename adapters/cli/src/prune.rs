//! `keystile prune`: removes keys that have ended.

use clap::Args;
use keystile::{Millis, UnixMillis};
use keystile_store::{Store, count_ended_before, prune_keys};

use crate::actor;
use crate::config::Config;
use crate::duration::{duration, instant_or_age};
use crate::events::prune::show;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// Remove keys that ended long ago: revoked, expired or replaced.
///
/// Each leaves an event, and its other events stay. The digest of a revoked key stays refused.
/// Rows that are damaged stay. If it is stopped, run it again.
///
/// Example:
///   keystile prune --older-than 400d --dry-run
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

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Age {
    /// Remove keys that ended before this day or instant.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    ended_before: Option<UnixMillis>,
    /// Remove keys that ended longer ago than this.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Millis>,
}

/// Carries out `keystile prune`.
pub(crate) async fn run(
    arguments: &PruneArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let age = &arguments.age;
    let before = instant_or_age(age.ended_before, age.older_than, now);
    let by = actor::because(&config.by, arguments.reason.as_deref())?;
    let removed = if arguments.dry_run {
        count_ended_before(&opened.store, before, now).await?
    } else {
        prune_keys(&opened.store.acting_as(&by), before, now).await?
    };
    show(removed, "key", arguments.dry_run, config, io)
}
