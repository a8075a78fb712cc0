//! `keystile events`: prints the audit log.

use clap::Args;
use keystile::{Event, KeyId};
use keystile_serve::EventView;
use keystile_store::{Store, StoreError, record};

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::list::PAGE;
use crate::{rfc3339, values};

/// Show the audit log: when keys were issued, rotated, revoked and so on.
///
/// With --json, each event is an object with number, at, kind, key_id, reason and successor.
/// A damaged event is named as list names a damaged row; its row is the event's number.
///
/// Example:
///   keystile events 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EventsArguments {
    /// A key's public id [default: the events of all keys]
    #[arg(value_name = "ID", value_parser = values::id)]
    id: Option<KeyId>,
    /// Start after the event with this number.
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true)]
    after: Option<u64>,
}

/// Carries out `keystile events`.
pub(crate) async fn run(
    arguments: &EventsArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    if let Some(id) = &arguments.id {
        match record(&opened.store, id).await {
            // Its events are in other rows.
            Ok(_) | Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !config.json {
        io.line("NUMBER  AT                    EVENT      ID                DETAIL")?;
    }
    let mut after = arguments.after.unwrap_or(0);
    let mut damage = Damage::default();
    loop {
        let id = arguments.id.as_ref();
        let listed = opened.store.events(id, after, PAGE).await?;
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
