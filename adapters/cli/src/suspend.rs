//! `keystile suspend` and `keystile resume`: disables a key for a while.

use clap::Args;
use keystile::{KeyId, UnixMillis};
use keystile_serve::{DamageView, DamagedKeyView, KeyView};
use keystile_store::{Ended, Outcome, Reach, Store, resume_reaching, suspend_reaching};

use crate::bulk::{self, Verb, Which};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::{actor, damage, values};

/// Suspend a key: it is refused until it is resumed. Its expiry does not change. A key whose row
/// is damaged can be suspended too; mend the row before you resume it.
///
/// Many keys are suspended by owner, client or template, which apply together if several are
/// given, or by a list of ids. --dry-run prints how many it would be.
///
/// Keys that derive from it are suspended with it, unless its successor lives, and are resumed
/// with it.
///
/// Example:
///   keystile suspend 1AbCdEfGhIjKlMnO --reason 'unpaid invoice'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct SuspendArguments {
    #[command(flatten)]
    which: Which,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: Option<String>,
}

/// Resume a suspended key, and the keys that were suspended with it.
///
/// Example:
///   keystile resume 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResumeArguments {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
    /// Why, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: Option<String>,
}

/// Carries out `keystile suspend`.
pub(crate) async fn suspend(
    arguments: &SuspendArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let which = &arguments.which;
    let ids = which.ids(io)?;
    let opened = config.open().await?;
    let by = actor::because(&config.by, arguments.reason.as_deref())?;
    let store = opened.store.acting_as(&by);
    let now = UnixMillis::now()?;
    if let (Some(id), false) = (&which.id, which.dry_run) {
        let ended = suspend_reaching(&store, id, Reach::Last, now).await?;
        let done = if ended.outcome.is_changed() {
            "suspended"
        } else {
            "already suspended:"
        };
        note_derived(&ended, "suspended", io);
        return show_outcome(&ended.outcome, done, now, config, io);
    }
    bulk::run(which, &ids, Verb::Suspend, &store, config, io).await
}

/// Carries out `keystile resume`.
pub(crate) async fn resume(
    arguments: &ResumeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let by = actor::because(&config.by, arguments.reason.as_deref())?;
    let store = opened.store.acting_as(&by);
    let ended = resume_reaching(&store, &arguments.id, now).await?;
    note_derived(&ended, "resumed", io);
    let outcome = ended.outcome;
    let done = if outcome.is_changed() {
        "resumed"
    } else {
        "already active:"
    };
    show_outcome(&outcome, done, now, config, io)
}

/// Prints what a verb did to the keys that derive from one, on standard error.
pub(crate) fn note_derived(ended: &Ended, done: &str, io: &mut Io<'_>) {
    for derived in &ended.derived {
        io.note(&format!("{done} {} too, which derives from it", derived.id));
    }
    if ended.left > 0 {
        io.note(&format!(
            "left alive: {} live keys that derive from it, because its successor lives",
            ended.left
        ));
    }
}

/// Prints what a verb did to a key. If its row is damaged, only its id and status are known.
pub(crate) fn show_outcome(
    outcome: &Outcome,
    done: &str,
    now: UnixMillis,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    match outcome {
        Outcome::Changed(record) | Outcome::Unchanged(record) if config.json => {
            io.json(&KeyView::new(record, now))?;
        }
        Outcome::Changed(record) | Outcome::Unchanged(record) => {
            io.line(&format!("{done} {}  {}", record.id, record.client_name))?;
        }
        Outcome::Damaged { row, .. } => {
            if config.json {
                io.json(&DamagedKeyView::new(row, DamageView::new(row)))?;
            } else {
                let id = row.key_id.map(|id| id.to_string()).unwrap_or_default();
                io.line(&format!("{done} {id}"))?;
            }
            io.note(&damage::note(row));
        }
    }
    Ok(Exit::Done)
}
