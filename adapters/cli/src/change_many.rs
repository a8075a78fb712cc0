//! `keystile change` of many keys.

use keystile::{KeyChange, TemplateName, UnixMillis};
use keystile_store::{
    BulkEnded, Filter, OfDerived, Page, Selection, Store, StoreError, can_change, record,
};
use std::path::PathBuf;

use clap::Args;

use crate::bulk;
use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// The keys, if they are many. Filters that are given apply together.
#[derive(Args, Debug)]
pub(crate) struct Many {
    /// All keys of this owner.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    of_owner: Option<String>,
    /// All keys of this client.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    of_client: Option<String>,
    /// All keys that were issued from a template with this name.
    #[arg(long, value_name = "T", value_parser = values::template)]
    of_template: Option<TemplateName>,
    /// The keys with these ids, one per line: a file, or - for standard input.
    #[arg(long, value_name = "FILE", value_parser = values::file,
        conflicts_with_all = ["of_owner", "of_client", "of_template"])]
    ids_from: Option<PathBuf>,
    /// Change nothing, and print how many it would be.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// How many keys are held in memory at once.
const PAGE: usize = 200;

impl Many {
    fn filter(&self) -> Filter {
        let mut filter = Filter::default();
        filter.owner = self.of_owner.as_deref().map(Box::from);
        filter.client_name = self.of_client.as_deref().map(Box::from);
        filter.template.clone_from(&self.of_template);
        filter
    }
}

/// What is to be done to each key.
pub(crate) struct Asked<'a> {
    pub(crate) requested: &'a KeyChange,
    pub(crate) of_derived: OfDerived,
    pub(crate) now: UnixMillis,
}

/// Changes the keys, or counts them in a dry run, and prints what was done.
pub(crate) async fn run(
    many: &Many,
    id: Option<&keystile::KeyId>,
    asked: &Asked<'_>,
    store: &impl Store,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let mut all = BulkEnded::default();
    let mut damage = Damage::default();
    if many.ids_from.is_some() || id.is_some() {
        let mut ids = bulk::read_ids(many.ids_from.as_deref(), io)?;
        ids.extend(id);
        for id in bulk::due(store, &ids, |_| true).await? {
            match record(store, &id).await {
                // As a filter passes them over. One that is named is refused, as without --dry-run.
                Ok(found) if many.ids_from.is_some() && !can_change(&found, asked.now) => {}
                Ok(found) => {
                    let one = Selection::of_records(vec![found]);
                    all.extend(each(&one, asked, many.dry_run, store).await);
                }
                Err(StoreError::Corrupt(row)) => damage.add(vec![row]),
                Err(error) => all.failed.push((id, error)),
            }
            if all.stopped_by.is_some() {
                break;
            }
        }
    } else {
        let (filter, mut page) = (many.filter(), Some(Page::first(PAGE)));
        while let Some(current) = page {
            let selection = Selection::to_change(store, &filter, current, asked.now).await?;
            page = selection.next.map(|next| current.after(next));
            all.extend(each(&selection, asked, many.dry_run, store).await);
            damage.add(selection.damaged);
            if all.stopped_by.is_some() {
                break;
            }
        }
    }
    bulk::show_all(all, "changed", many.dry_run, damage, config, io)
}

async fn each(
    selection: &Selection,
    asked: &Asked<'_>,
    dry_run: bool,
    store: &impl Store,
) -> BulkEnded {
    let (requested, rule, now) = (asked.requested, asked.of_derived, asked.now);
    match dry_run {
        true => selection.would_change(store, requested, rule, now).await,
        false => selection.change(store, requested, rule, now).await,
    }
}
