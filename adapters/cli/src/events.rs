//! `keystile events`: prints the audit log.

pub(crate) mod prune;

use clap::{Args, Subcommand};
use keystile::{Event, EventKind, KeyId, UnixMillis};
use keystile_serve::EventView;
use keystile_store::{EventFilter, Store, StoreError, record};

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::list::PAGE;
use crate::{rfc3339, values};

/// Show the audit log: when keys were issued, rotated, revoked and so on.
///
/// All filters that are given apply together. A DATE is a day, which begins in UTC, or an
/// instant such as 2026-09-21T14:13:20Z.
///
/// With --json, each event is an object with number, at, kind, key_id, version, reason,
/// successor, actor, origin and changes. A damaged event is named as list names a damaged row;
/// its row is the event's number.
///
/// Example:
///   keystile events 1AbCdEfGhIjKlMnO
///   keystile events --owner acme --kind revoked --since 2026-09-01
#[derive(Args, Debug)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct EventsArguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// A key's public id [default: the events of all keys]
    #[arg(value_name = "ID", value_parser = values::id)]
    id: Option<KeyId>,
    /// Start after the event with this number.
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true)]
    after: Option<u64>,
    /// Only what happened on this day or at this instant, or later.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    since: Option<UnixMillis>,
    /// Only what happened before this day or instant.
    #[arg(long, value_name = "DATE", value_parser = values::instant)]
    until: Option<UnixMillis>,
    /// Only events of this kind, such as revoked.
    #[arg(long, value_name = "KIND", value_parser = values::event_kind)]
    kind: Option<EventKind>,
    /// Only events of keys that belong to this owner now, or did when they were deleted.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    owner: Option<String>,
    /// The same as ID, but there need be no such key: it may have been deleted.
    #[arg(long, value_name = "ID", value_parser = values::id, conflicts_with = "id")]
    key: Option<KeyId>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Prune(prune::PruneArguments),
}

impl EventsArguments {
    /// Whether it prints events, and removes none.
    pub(crate) const fn only_reads(&self) -> bool {
        self.verb.is_none()
    }

    fn filter(&self) -> EventFilter {
        let mut filter = EventFilter::new();
        filter.key_id = self.id.or(self.key);
        filter.owner = self.owner.as_deref().map(Box::from);
        filter.kind = self.kind;
        filter.since = self.since;
        filter.until = self.until;
        filter
    }
}

/// Carries out `keystile events`.
pub(crate) async fn run(
    arguments: &EventsArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if let Some(Verb::Prune(verb)) = &arguments.verb {
        return prune::run(verb, config, io).await;
    }
    let opened = config.open().await?;
    if let Some(id) = &arguments.id {
        match record(&opened.store, id).await {
            // Its events are in other rows.
            Ok(_) | Err(StoreError::Corrupt(_)) => {}
            // Its row was deleted, and its events stay.
            Err(StoreError::NotFound) if has_events(&opened.store, id).await? => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !config.json {
        io.line("NUMBER  AT                    EVENT      ID                DETAIL")?;
    }
    let mut after = arguments.after.unwrap_or(0);
    let filter = arguments.filter();
    let mut damage = Damage::default();
    loop {
        let listed = opened.store.list_events(&filter, after, PAGE).await?;
        let Some(last) = listed.last() else {
            break;
        };
        after = last;
        for (number, event) in &listed.events {
            print(*number, event, config.json, io)?;
        }
        damage.add(listed.damaged);
    }
    damage.report(config, io)
}

async fn has_events(store: &impl Store, id: &KeyId) -> Result<bool, StoreError> {
    Ok(store.events(Some(id), 0, 1).await?.rows() > 0)
}

fn print(number: u64, event: &Event, json: bool, io: &mut Io<'_>) -> Result<(), Failure> {
    if json {
        return io.json(&EventView::new(number, event));
    }
    let reason = event.reason.as_deref();
    let successor = event.successor.as_ref().map(KeyId::as_str);
    let kind = event.kind.as_str();
    let key_id = event.key_id.as_ref().map_or("(many keys)", KeyId::as_str);
    let at = rfc3339::in_seconds(event.at);
    let changed: Vec<&str> = event.changes.iter().map(|change| &*change.field).collect();
    let what = match (reason, successor) {
        (Some(reason), _) => reason.to_owned(),
        (None, Some(successor)) => format!("successor {successor}"),
        (None, None) => changed.join(", "),
    };
    let by = |(word, who): (&str, &Option<Box<str>>)| {
        let who = who.as_deref()?;
        Some(format!("{word} {who}"))
    };
    let who = [("by", &event.actor), ("from", &event.origin)];
    let who: Vec<String> = who.into_iter().filter_map(by).collect();
    let detail = match (what.is_empty(), who.is_empty()) {
        (_, true) => what,
        (true, false) => who.join(" "),
        (false, false) => format!("{what}; {}", who.join(" ")),
    };
    let line = format!("{number:>6}  {at:<20}  {kind:<9}  {key_id:<16}  {detail}");
    io.line(line.trim_end())
}
