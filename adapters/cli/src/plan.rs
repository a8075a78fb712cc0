//! `keystile plan`: lists keys that are due for a notice, a rotation or a clean-up.

use clap::Args;
use keystile::{KeyRecord, Millis, PlanAction, RotationPolicy, UnixMillis};
use keystile_store::{Filter, Page, Store};
use serde::Serialize;

use crate::config::Config;
use crate::damage::Damage;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::list::PAGE;
use crate::{duration, rfc3339};

/// List keys that are due for a notice, a rotation or a clean-up. Changes nothing.
///
/// A key is due for a notice 14, 7 and 1 days before it ends, or within --within of its end;
/// for rotation 7 days before it ends or reaches 90 days of age; for a clean-up 30 days
/// after it ended. Notices go to the client's e-mail address.
///
/// With --json, each line is an object with key_id, client_name, client_email, action
/// (notice, rotate or clean_up), at (when the key ends or ended) and lead (for a notice: the
/// lead time that was reached, such as 7d; send one notice per key and lead).
///
/// What is due for a key whose row is damaged is not known: it is named as list does it.
///
/// Example:
///   keystile plan --within 30d
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct PlanArguments {
    /// Include a notice for every key that ends within this time.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    within: Option<Millis>,
}

#[derive(Serialize)]
struct DueView<'r> {
    key_id: &'r str,
    client_name: &'r str,
    client_email: Option<&'r str>,
    action: &'static str,
    at: String,
    lead: Option<String>,
}

/// Carries out `keystile plan`.
pub(crate) async fn run(
    arguments: &PlanArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let mut policy = RotationPolicy::default();
    if let Some(lead) = arguments.within {
        policy = policy.with_notice_leads([lead]);
    }
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    if !config.json {
        io.line("ID                ACTION    AT                    CLIENT")?;
    }
    let mut page = Page::first(PAGE);
    let mut damage = Damage::default();
    loop {
        let listed = opened.store.list(&Filter::default(), page).await?;
        damage.add(listed.damaged);
        for record in &listed.records {
            for due in keystile::plan([record], &policy, now) {
                print(record, due.action, config.json, io)?;
            }
        }
        let Some(next) = listed.next else { break };
        page = page.after(next);
    }
    damage.report(config, io)
}

fn print(
    record: &KeyRecord,
    action: PlanAction,
    json: bool,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let (word, at, lead) = match action {
        PlanAction::Notice { ends_at, lead } => ("notice", ends_at, Some(lead)),
        PlanAction::Rotate { ends_at } => ("rotate", ends_at, None),
        PlanAction::CleanUp { ended_at } => ("clean_up", ended_at, None),
        _ => {
            return Err(Failure::expected(
                "the plan contains an unknown action; please report it",
            ));
        }
    };
    if json {
        return io.json(&DueView {
            key_id: record.id.as_str(),
            client_name: &record.client_name,
            client_email: record.client_email.as_deref(),
            action: word,
            at: keystile_serve::rfc3339(at),
            lead: lead.map(duration::spell),
        });
    }
    let at = rfc3339::in_seconds(at);
    io.line(&format!(
        "{}  {word:<8}  {at:<20}  {}",
        record.id, record.client_name
    ))
}
