//! `keystile list`: the keys in a store.

use clap::Args;
use keystile::{KeyRecord, UnixMillis};
use keystile_serve::KeyView;
use keystile_store::{Filter, Page, Store};

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::view::{joined, status_text};
use crate::{rfc3339, values};

/// List keys, in the order in which they were issued.
///
/// STATUS is active, retiring (replaced, but still in its overlap), replaced, expired,
/// suspended or revoked. With --json, each line is one key as an object.
///
/// A damaged row is named on standard error, and with --json in a last line, an object with only
/// "damaged". The exit code is then 1.
///
/// Example:
///   keystile list --owner acme
///   keystile list --json | jq -r 'select(.live) | .key_id'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ListArguments {
    /// List only keys of this owner.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    owner: Option<String>,
    /// List only keys of this client.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    client: Option<String>,
    /// The maximum number of keys to list [default: all]
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true)]
    limit: Option<u64>,
}

/// How many records are held in memory at once.
pub(crate) const PAGE: usize = 200;

/// Carries out `keystile list`.
pub(crate) async fn run(
    arguments: &ListArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let mut filter = Filter::default();
    filter.owner = arguments.owner.as_deref().map(Box::from);
    filter.client_name = arguments.client.as_deref().map(Box::from);
    let mut left = arguments.limit.unwrap_or(u64::MAX);

    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    if !config.json {
        io.line(HEADING)?;
    }
    let mut page = Page::first(PAGE);
    let mut damage = Damage::default();
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        page.limit = PAGE.min(most);
        let listed = opened.store.list(&filter, page).await?;
        damage.add(listed.damaged);
        for record in &listed.records {
            if config.json {
                io.json(&KeyView::new(record, now))?;
            } else {
                io.line(&row(record, now))?;
            }
            left = left.saturating_sub(1);
        }
        let Some(next) = listed.next else { break };
        page = page.after(next);
    }
    damage.report(config, io)
}

const HEADING: &str = "ID                STATUS     EXPIRES               ENV           CLIENT                    PERMISSIONS";

/// Columns have a fixed width: to fit them, all records would have to be read first.
fn row(record: &KeyRecord, now: UnixMillis) -> String {
    let expires = record
        .expires_at
        .map_or("never".to_owned(), rfc3339::in_seconds);
    let environment = record
        .environment
        .map_or("-".to_owned(), |name| name.to_string());
    format!(
        "{}  {:<9}  {expires:<20}  {environment:<12}  {:<24}  {}",
        record.id,
        status_text(record, now),
        record.client_name,
        joined(record.permissions.iter(), "-"),
    )
}
