//! `keystile template apply`: gives the keys of a template its rights.

use std::collections::HashSet;

use clap::Args;
use keystile::{TemplateName, UnixMillis};
use keystile_store::{
    BulkEnded, OfDerived, Page, Store, StoreError, TemplateKeys, TemplateProblem,
};
use serde::Serialize;

use super::{NAME, find};
use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::{actor, values};

/// Give the keys that were issued from a template its permissions, rate limit and endpoints. Their
/// lifetimes stay.
///
/// Keys with rights of their own, because they were issued narrower or changed since, stay as they
/// are, unless --all is set. It stops if the template is changed meanwhile. A key that cannot be changed is named, and the others are changed. If
/// it is stopped, run it again: it goes on with what is left.
///
/// Example:
///   keystile template apply pro --dry-run
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct ApplyArguments {
    /// The template's name.
    #[arg(value_name = "NAME", value_parser = values::template)]
    name: TemplateName,
    /// Change nothing, and print how many keys it would be.
    #[arg(long)]
    dry_run: bool,
    /// Also change the keys with rights of their own.
    #[arg(long)]
    all: bool,
    /// What becomes of keys that derive from one and would exceed it: suspend, revoke or keep.
    /// Without it, a key that has any is not changed.
    #[arg(long, value_name = "ACTION", value_parser = values::of_derived)]
    derived: Option<OfDerived>,
    /// Why, for the audit log [default: template NAME]
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: Option<String>,
}

/// How many keys are held in memory at once.
const PAGE: usize = 200;
/// How often the keys are gone through, for those that were issued meanwhile.
const PASSES_MAX: usize = 16;

/// What was done, or would be.
#[derive(Default)]
struct Applied {
    ended: BulkEnded,
    /// The keys with rights of their own, and those of them that exceed the template.
    own: usize,
    exceeding: usize,
    current: usize,
    damage: Damage,
}

#[derive(Serialize)]
struct AppliedView {
    dry_run: bool,
    changed: usize,
    /// Keys that derive from these and were changed with them.
    derived: usize,
    /// Keys that have the template's rights already.
    current: usize,
    own: usize,
    exceeding: usize,
    failed: Vec<FailedView>,
}

#[derive(Serialize)]
struct FailedView {
    key_id: String,
    message: String,
}

pub(super) async fn run(
    arguments: &ApplyArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let template = find(config, &arguments.name, NAME).await?;
    let now = UnixMillis::now()?;
    let opened = config.open().await?;
    let usual = format!("template {}", arguments.name);
    let reason = arguments.reason.as_deref().unwrap_or(&usual);
    let by = actor::because(&config.by, Some(reason))?;
    let store = opened.store.acting_as(&by);
    let rule = arguments.derived.unwrap_or_default();
    let (mut changed, mut derived) = (0_usize, HashSet::new());
    let mut last = Applied::default();
    for _ in 0..PASSES_MAX {
        last = Applied::default();
        let mut page = Some(Page::first(PAGE));
        while let Some(current) = page {
            let mut keys = TemplateKeys::page(&store, &template, current, now).await?;
            page = keys.next.map(|next| current.after(next));
            last.own = last.own.saturating_add(keys.own.len());
            last.exceeding = last.exceeding.saturating_add(keys.exceeding());
            last.current = last.current.saturating_add(keys.current);
            last.damage.add(core::mem::take(&mut keys.damaged));
            if arguments.all {
                keys = keys.take_own();
            }
            last.ended.extend(match arguments.dry_run {
                true => keys.would_apply(&store, rule, now).await,
                false => keys.apply(&store, rule, now).await,
            });
            if last.ended.stopped_by.is_some() {
                break;
            }
        }
        changed = changed.saturating_add(last.ended.changed.len());
        derived.extend(last.ended.derived.iter().copied());
        let is_done = last.ended.changed.is_empty() || last.ended.stopped_by.is_some();
        if arguments.dry_run || is_done {
            break;
        }
    }
    show(arguments, last, (changed, derived.len()), config, io)
}

fn show(
    arguments: &ApplyArguments,
    last: Applied,
    (changed, derived): (usize, usize),
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let failed = &last.ended.failed;
    if config.json {
        io.json(&AppliedView {
            dry_run: arguments.dry_run,
            changed,
            derived,
            current: last.current,
            own: last.own,
            exceeding: last.exceeding,
            failed: failed
                .iter()
                .map(|(id, error)| FailedView {
                    key_id: id.to_string(),
                    message: error.to_string(),
                })
                .collect(),
        })?;
    } else {
        let would = if arguments.dry_run { "would have " } else { "" };
        let plural = if changed == 1 { "" } else { "s" };
        io.line(&format!("{would}changed {changed} key{plural}"))?;
    }
    if derived > 0 {
        let would = if arguments.dry_run { "would be " } else { "" };
        io.note(&format!(
            "{would}changed with them: {derived} keys that derive from them"
        ));
    }
    if last.own > 0 && !arguments.all {
        io.note(&format!(
            "left as they are: {} with rights of their own, {} of which exceed the template; --all \
             changes them too",
            last.own, last.exceeding
        ));
    } else if last.own > 0 && arguments.dry_run {
        io.note(&format!("{} of them have rights of their own", last.own));
    }
    for (id, error) in failed {
        io.note(&format!("keystile: {id} was not changed: {error}"));
    }
    let has_failed = !failed.is_empty();
    let exit = last.damage.report(config, io)?;
    match last.ended.stopped_by {
        Some(StoreError::Template(TemplateProblem::Stale)) => {
            let keys = if changed == 1 { "key was" } else { "keys were" };
            let text = format!(
                "the template was changed meanwhile, after {changed} {keys} changed: nothing more \
                 was written; run it again"
            );
            Err(Failure::Message(text.into()))
        }
        Some(error) => Err(error.into()),
        None if has_failed => Ok(Exit::Refused),
        None => Ok(exit),
    }
}
