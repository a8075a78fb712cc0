//! Which keys `keystile revoke` and `keystile suspend` are about: one, or many.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use keystile::{KeyId, TemplateName, UnixMillis};
use keystile_store::{
    BulkEnded, Filter, Page, Reach, Selection, Store, StoreError, record, revoke_reaching,
    suspend_reaching,
};
use serde::Serialize;

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// How many keys are held in memory at once.
const PAGE: usize = 200;
/// The limit on the text of --ids-from.
const IDS_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often a filter is gone through, for keys that were issued meanwhile.
const PASSES_MAX: usize = 16;

/// The keys. Filters that are given apply together.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id,
        required_unless_present_any = ["owner", "client", "template", "ids_from"],
        conflicts_with_all = ["owner", "client", "template", "ids_from"])]
    pub(crate) id: Option<KeyId>,
    /// All keys of this owner.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    owner: Option<String>,
    /// All keys of this client.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    client: Option<String>,
    /// All keys that were issued from a template with this name.
    #[arg(long, value_name = "T", value_parser = values::template)]
    template: Option<TemplateName>,
    /// The keys with these ids, one per line: a file, or - for standard input.
    #[arg(long, value_name = "FILE", value_parser = values::file,
        conflicts_with_all = ["owner", "client", "template"])]
    ids_from: Option<PathBuf>,
    /// Change nothing, and print how many it would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl Which {
    /// The filter, if keys are selected by one.
    pub(crate) fn filter(&self) -> Option<Filter> {
        let mut filter = Filter::default();
        filter.owner = self.owner.as_deref().map(Box::from);
        filter.client_name = self.client.as_deref().map(Box::from);
        filter.template.clone_from(&self.template);
        (filter != Filter::default()).then_some(filter)
    }

    /// The ids, if they are listed: all of them are read and checked first.
    pub(crate) fn ids(&self, io: &mut Io<'_>) -> Result<Vec<KeyId>, Failure> {
        match &self.ids_from {
            None => Ok(self.id.into_iter().collect()),
            path => read_ids(path.as_deref(), io),
        }
    }
}

/// The ids in a file, each once: all of them are read and checked first.
pub(crate) fn read_ids(path: Option<&Path>, io: &mut Io<'_>) -> Result<Vec<KeyId>, Failure> {
    let unread = || Failure::expected("--ids-from: the file cannot be read");
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let mut text = String::new();
    // One byte more than the limit, so that a longer text is noticed.
    let limit = IDS_BYTES_MAX.saturating_add(1);
    let read = if path.as_os_str() == "-" {
        let mut input = (&mut *io.input as &mut dyn BufRead).take(limit);
        input.read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path).map_err(|_| unread())?;
        file.take(limit).read_to_string(&mut text)
    };
    let is_whole = |read: &usize| u64::try_from(*read).is_ok_and(|read| read <= IDS_BYTES_MAX);
    if read.as_ref().is_ok_and(|read| !is_whole(read)) {
        let expected = "--ids-from: the text must be at most 16777216 bytes long";
        return Err(Failure::expected(expected));
    }
    read.map_err(|_| unread())?;
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let id = values::id(line).map_err(|expected| {
            Failure::Message(format!("--ids-from, line {number}: {expected}").into())
        })?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// The keys with these ids whose stored status is one of the wanted. Each id is looked up before
/// anything is changed: an unknown one changes nothing.
pub(crate) async fn due(
    store: &impl Store,
    ids: &[KeyId],
    is_due: impl Fn(&str) -> bool,
) -> Result<Vec<KeyId>, Failure> {
    let mut due = Vec::new();
    for id in ids {
        let status = match record(store, id).await {
            Ok(found) => found.status.as_str(),
            Err(StoreError::Corrupt(row)) => row.status.unwrap_or("active"),
            Err(StoreError::NotFound) => {
                let unknown = format!("there is no key {id}; nothing was changed");
                return Err(Failure::Message(unknown.into()));
            }
            Err(error) => return Err(error.into()),
        };
        due.extend(is_due(status).then_some(*id));
    }
    Ok(due)
}

/// What a command does to the keys.
#[derive(Clone, Copy)]
pub(crate) enum Verb<'r> {
    Revoke { reason: &'r str, reach: Reach },
    Suspend,
}

impl Verb<'_> {
    const fn done(self) -> &'static str {
        match self {
            Self::Revoke { .. } => "revoked",
            Self::Suspend => "suspended",
        }
    }

    fn is_due(self, status: &str) -> bool {
        match self {
            Self::Revoke { .. } => status != "revoked",
            Self::Suspend => status == "active",
        }
    }
}

/// Changes the keys, or counts them in a dry run, and prints what was done.
pub(crate) async fn run(
    which: &Which,
    ids: &[KeyId],
    verb: Verb<'_>,
    store: &impl Store,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let now = UnixMillis::now()?;
    let mut damage = Damage::default();
    if let (Some(filter), true) = (which.filter(), which.dry_run) {
        let (mut count, mut page) = (0_usize, Some(Page::first(PAGE)));
        while let Some(current) = page {
            let selection = select(store, verb, &filter, current).await?;
            page = selection.next.map(|next| current.after(next));
            count = count.saturating_add(selection.keys.len());
            damage.add(selection.damaged);
        }
        return show(count, None, verb.done(), true, damage, config, io);
    }
    let due = due(store, ids, |status| verb.is_due(status)).await?;
    if which.dry_run {
        return show(due.len(), None, verb.done(), true, damage, config, io);
    }
    let mut all = BulkEnded::default();
    for id in due {
        let ended = match verb {
            Verb::Revoke { reason, reach } => revoke_reaching(store, &id, reason, reach, now).await,
            Verb::Suspend => suspend_reaching(store, &id, Reach::Last, now).await,
        };
        if all.add(id, ended).is_break() {
            break;
        }
    }
    if let Some(filter) = which.filter() {
        (all, damage) = passes(store, verb, &filter, now).await;
    }
    if all.left > 0 {
        io.note(&format!(
            "left alive: {} live keys that derive from them, because a successor lives",
            all.left
        ));
    }
    show_all(all, verb.done(), false, damage, config, io)
}

/// Prints how many keys were changed, or would be, and names those that were not, and why.
pub(crate) fn show_all(
    all: BulkEnded,
    done: &str,
    dry_run: bool,
    damage: Damage,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let count = all.count();
    let asked: HashSet<_> = all.changed.iter().collect();
    let with_them = count.saturating_sub(asked.len());
    let exit = show(count, Some(with_them), done, dry_run, damage, config, io)?;
    if with_them > 0 {
        io.note(&format!(
            "{with_them} of them because they derive from others"
        ));
    }
    for (id, error) in &all.failed {
        let was = if dry_run { "would not be" } else { "was not" };
        io.note(&format!("keystile: {id} {was} {done}: {error}"));
    }
    match all.stopped_by {
        Some(error) => Err(error.into()),
        None if all.failed.is_empty() => Ok(exit),
        None => Ok(Exit::Refused),
    }
}

/// Goes through the keys of a filter until nothing was left to change: keys can be issued
/// meanwhile, and become visible before the place that a page has reached.
async fn passes(
    store: &impl Store,
    verb: Verb<'_>,
    filter: &Filter,
    now: UnixMillis,
) -> (BulkEnded, Damage) {
    let (mut all, mut damage) = (BulkEnded::default(), Damage::default());
    for _ in 0..PASSES_MAX {
        let (before, mut page) = (all.changed.len(), Some(Page::first(PAGE)));
        // What failed and what is damaged is named once.
        all.failed.clear();
        damage = Damage::default();
        while let Some(current) = page {
            let selection = match select(store, verb, filter, current).await {
                Ok(selection) => selection,
                Err(error) => {
                    all.stopped_by = Some(error);
                    return (all, damage);
                }
            };
            page = selection.next.map(|next| current.after(next));
            all.extend(match verb {
                Verb::Revoke { reason, reach } => selection.revoke(store, reason, reach, now).await,
                Verb::Suspend => selection.suspend(store, now).await,
            });
            damage.add(selection.damaged);
            if all.stopped_by.is_some() {
                return (all, damage);
            }
        }
        if all.changed.len() == before {
            break;
        }
    }
    (all, damage)
}

async fn select(
    store: &impl Store,
    verb: Verb<'_>,
    filter: &Filter,
    page: Page,
) -> Result<Selection, StoreError> {
    match verb {
        Verb::Revoke { .. } => Selection::to_revoke(store, filter, page).await,
        Verb::Suspend => Selection::to_suspend(store, filter, page).await,
    }
}

/// The result of a change of many keys, in JSON.
#[derive(Serialize)]
struct Many<'d> {
    dry_run: bool,
    #[serde(flatten)]
    count: BTreeMap<&'d str, usize>,
    /// Those of the count that derive from others and were changed with them; not in a dry run that
    /// does not find out.
    #[serde(skip_serializing_if = "Option::is_none")]
    derived: Option<usize>,
}

/// Prints how many keys were changed, or would be, and names damaged rows.
fn show(
    changed: usize,
    derived: Option<usize>,
    done: &str,
    dry_run: bool,
    damage: Damage,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if config.json {
        let count = [(done, changed)].into();
        io.json(&Many {
            dry_run,
            count,
            derived,
        })?;
    } else {
        let plural = if changed == 1 { "" } else { "s" };
        let would = if dry_run { "would have " } else { "" };
        io.line(&format!("{would}{done} {changed} key{plural}"))?;
    }
    damage.report(config, io)
}
