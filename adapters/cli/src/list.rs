//! `keystile list`: the keys in a store.

use clap::Args;
use keystile::{KeyRecord, UnixMillis};
use keystile_serve::KeyView;
use keystile_store::{KeyStatus, Page, Sort, Store};
use serde::Serialize;

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::filters::FilterArguments;
use crate::io::Io;
use crate::view::joined;
use crate::{rfc3339, values};

/// List keys.
///
/// STATUS is active, retiring (replaced, but still in its overlap), replaced, expired,
/// suspended or revoked. ENDS is the instant from which the key is refused: its expiry, or the
/// end of its overlap if that is earlier. With --json, each line is one key as an object.
///
/// All filters that are given apply together. A DATE is a day, which begins in UTC, or an
/// instant such as 2026-09-21T14:13:20Z.
///
/// The keys are in the order in which they were added to the store, or in that of the index that
/// the filter uses: by their ends for --expires-within and for a status that depends on the time,
/// by the instant of issuing for --issued-since and --issued-until, by their ids for --id-prefix.
/// With --sort they are in another order. With --owner, and by last-used, that is possible for
/// fewer than 1,000 keys: the last use has no index.
///
/// A damaged row is named on standard error, and with --json in a last line, an object with only
/// "damaged". The exit code is then 1.
///
/// Example:
///   keystile list --owner acme
///   keystile list --expires-within 30d
///   keystile list --owner acme --sort last-used
///   keystile list --unused-for 90d --status active --count
///   keystile list --json | jq -r 'select(.live) | .key_id'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filters: FilterArguments,
    /// The order: inserted, id, issued, expires or last-used [default: that of the filter]
    #[arg(long, value_name = "ORDER", value_parser = values::sort, conflicts_with = "count")]
    sort: Option<Sort>,
    /// The maximum number of keys to list [default: all]
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true)]
    limit: Option<u64>,
    /// Print only how many keys there are; with --json, as an object with count.
    #[arg(long)]
    count: bool,
    /// Also show when a key was last used, its prefix and its owner.
    #[arg(long, conflicts_with_all = ["count"])]
    wide: bool,
}

/// How many records are held in memory at once.
pub(crate) const PAGE: usize = 200;

/// Carries out `keystile list`.
pub(crate) async fn run(
    arguments: &ListArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let most = arguments.limit.unwrap_or(u64::MAX);
    let mut left = most;

    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let filter = arguments.filters.filter(now);
    let mut page = Page::first(PAGE);
    page.sort = arguments.sort;
    // After the first page: the order may be refused.
    let mut needs_heading = !config.json && !arguments.count;
    let mut damage = Damage::default();
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX);
        page.limit = PAGE.min(size);
        let listed = opened.store.list(&filter, page).await?;
        if needs_heading {
            needs_heading = false;
            io.line(if arguments.wide {
                WIDE_HEADING
            } else {
                HEADING
            })?;
        }
        damage.add(listed.damaged);
        for record in &listed.records {
            if arguments.count {
                // Only counted.
            } else if config.json {
                io.json(&KeyView::new(record, now))?;
            } else if arguments.wide {
                io.line(&wide_row(record, now))?;
            } else {
                io.line(&row(record, now))?;
            }
            left = left.saturating_sub(1);
        }
        let Some(next) = listed.next else { break };
        page = page.after(next);
    }
    let count = most.saturating_sub(left);
    match (arguments.count, config.json) {
        (true, true) => io.json(&CountView { count })?,
        (true, false) => io.line(&count.to_string())?,
        _ => {}
    }
    damage.report(config, io)
}

#[derive(Serialize)]
struct CountView {
    count: u64,
}

const HEADING: &str = "ID                STATUS     ENDS                  ENV           CLIENT                    PERMISSIONS";
const WIDE_HEADING: &str = "ID                STATUS     ENDS                  LAST USED             ENV           KEY PREFIX            OWNER             CLIENT                    PERMISSIONS";

/// Columns have a fixed width: to fit them, all records would have to be read first.
fn row(record: &KeyRecord, now: UnixMillis) -> String {
    format!(
        "{}  {:<9}  {:<20}  {:<12}  {:<24}  {}",
        record.id,
        KeyStatus::of(record, now),
        instant_or_never(record.ends_at()),
        environment(record),
        record.client_name,
        joined(record.permissions.iter(), "-"),
    )
}

fn wide_row(record: &KeyRecord, now: UnixMillis) -> String {
    format!(
        "{}  {:<9}  {:<20}  {:<20}  {:<12}  {:<20}  {:<16}  {:<24}  {}",
        record.id,
        KeyStatus::of(record, now),
        instant_or_never(record.ends_at()),
        instant_or_never(record.last_used_at),
        environment(record),
        record.key_prefix,
        record.owner.as_deref().unwrap_or("-"),
        record.client_name,
        joined(record.permissions.iter(), "-"),
    )
}

fn instant_or_never(instant: Option<UnixMillis>) -> String {
    instant.map_or("never".to_owned(), rfc3339::in_seconds)
}

fn environment(record: &KeyRecord) -> String {
    record
        .environment
        .map_or("-".to_owned(), |name| name.to_string())
}
