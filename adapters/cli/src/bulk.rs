//! Which keys `keystile revoke` and `keystile suspend` are about: one, or many.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::PathBuf;

use clap::Args;
use keystile::{KeyId, TemplateName};
use keystile_store::{Filter, Store, StoreError, record};
use serde::Serialize;

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// How many keys are held in memory at once.
pub(crate) const PAGE: usize = 200;
/// The limit on the text of --ids-from.
const IDS_BYTES_MAX: u64 = 64 * 1024 * 1024;

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
        let unread = || Failure::expected("--ids-from: the file cannot be read");
        let Some(path) = &self.ids_from else {
            return Ok(self.id.into_iter().collect());
        };
        let mut text = String::new();
        if path.as_os_str() == "-" {
            let mut input = (&mut *io.input as &mut dyn BufRead).take(IDS_BYTES_MAX);
            input.read_to_string(&mut text).map_err(|_| unread())?;
        } else {
            let file = std::fs::File::open(path).map_err(|_| unread())?;
            let mut file = file.take(IDS_BYTES_MAX);
            file.read_to_string(&mut text).map_err(|_| unread())?;
        }
        let mut ids = Vec::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let id = values::id(line).map_err(|expected| {
                Failure::Message(format!("--ids-from, line {number}: {expected}").into())
            })?;
            ids.push(id);
        }
        Ok(ids)
    }
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

/// The result of a change of many keys, in JSON.
#[derive(Serialize)]
struct Many<'d> {
    dry_run: bool,
    #[serde(flatten)]
    count: BTreeMap<&'d str, usize>,
}

/// Prints how many keys were changed, or would be, and names damaged rows.
pub(crate) fn show(
    changed: usize,
    done: &str,
    dry_run: bool,
    damage: Damage,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if config.json {
        let count = [(done, changed)].into();
        io.json(&Many { dry_run, count })?;
    } else {
        let plural = if changed == 1 { "" } else { "s" };
        let would = if dry_run { "would have " } else { "" };
        io.line(&format!("{would}{done} {changed} key{plural}"))?;
    }
    damage.report(config, io)
}
