//! `keystile list`: the keys in a store.

use clap::Args;
use keystile::{Environment, KeyRecord, Millis, TemplateName, UnixMillis};
use keystile_serve::KeyView;
use keystile_store::{Filter, KeyStatus, Page, Sort, Store};
use serde::Serialize;

use crate::config::Config;
use crate::damage::Damage;
use crate::duration::duration;
use crate::failure::{Exit, Failure};
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
    /// List only keys of this owner.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    owner: Option<String>,
    /// List only keys of this client.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    client: Option<String>,
    /// List only keys with this status now.
    #[arg(long, value_name = "STATUS", value_parser = values::status)]
    status: Option<KeyStatus>,
    /// List only keys of this environment.
    #[arg(long, value_name = "E", visible_alias = "environment", value_parser = values::environment)]
    env: Option<Environment>,
    /// List only keys that were issued from a template with this name.
    #[arg(long, value_name = "T", value_parser = values::template)]
    template: Option<TemplateName>,
    /// List only keys whose id begins with this text.
    #[arg(long, value_name = "TEXT", value_parser = values::id_prefix)]
    id_prefix: Option<String>,
    /// List only keys that have not ended, and end within this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_within: Option<Millis>,
    /// List only keys that were issued longer ago than this, and not used since.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    unused_for: Option<Millis>,
    /// List only keys that were issued on this day or at this instant, or later.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    issued_since: Option<UnixMillis>,
    /// List only keys that were issued before this day or instant.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    issued_until: Option<UnixMillis>,
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

impl ListArguments {
    fn filter(&self, now: UnixMillis) -> Filter {
        let mut filter = Filter::default();
        filter.owner = self.owner.as_deref().map(Box::from);
        filter.client_name = self.client.as_deref().map(Box::from);
        filter.status = self.status.map(|status| (status, now));
        filter.environment = self.env;
        filter.template = self.template.clone();
        filter.id_prefix = self.id_prefix.as_deref().map(Box::from);
        filter.ending = self
            .expires_within
            .map(|span| (now, now.plus(span).unwrap_or(UnixMillis::MAX)));
        filter.unused_since = self.unused_for.map(|span| {
            let since = now.get().saturating_sub(span.get());
            UnixMillis::new(since).unwrap_or(UnixMillis::MIN)
        });
        filter.issued_from = self.issued_since;
        filter.issued_before = self.issued_until;
        filter
    }
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
    let filter = arguments.filter(now);
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
