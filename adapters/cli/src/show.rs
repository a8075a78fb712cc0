//! `keystile show`: everything that the store keeps about a key, except its digest.

use clap::Args;
use keystile::{DigestKind, KeyId, KeyRecord, Status, UnixMillis, Usage};
use keystile_serve::KeyView;
use keystile_store::{KeyStatus, Store, record};

use crate::config::Config;
use crate::duration::{self, spell_rate};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::view::joined;
use crate::{rfc3339, values};

/// Show what the store keeps about a key, except its digest; of that, which pepper it was
/// made with.
///
/// Example:
///   keystile show 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ShowArguments {
    /// The key's public id, as printed by issue and list.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
}

/// Carries out `keystile show`.
pub(crate) async fn run(
    arguments: &ShowArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let record = record(&opened.store, &arguments.id).await?;
    let now = UnixMillis::now()?;
    if config.json {
        io.json(&KeyView::new(&record, now))?;
    } else {
        let usage = opened.store.usage(&record.lineage).await?;
        let usage = usage.seen_at(record.rate_limit.as_ref(), now);
        for (name, value) in rows(&record, &usage, now) {
            io.line(&format!("{name:<14}  {value}"))?;
        }
    }
    Ok(Exit::Done)
}

fn rows(record: &KeyRecord, usage: &Usage, now: UnixMillis) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("id", record.id.to_string()),
        ("key prefix", record.key_prefix.to_string()),
        ("client", record.client_name.to_string()),
    ];
    let mut optional = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    optional("e-mail", record.client_email.as_deref().map(str::to_owned));
    optional("owner", record.owner.as_deref().map(str::to_owned));
    optional(
        "environment",
        record.environment.map(|name| name.to_string()),
    );
    optional("status", Some(KeyStatus::of(record, now).to_string()));
    if let Status::Revoked { at, reason } = &record.status {
        optional(
            "revoked",
            Some(format!("{}: {reason}", rfc3339::in_seconds(*at))),
        );
    }
    optional(
        "permissions",
        Some(joined(record.permissions.iter(), "none")),
    );
    let endpoints = record.allowed_endpoints.as_ref();
    let endpoints = endpoints.map_or("any".to_owned(), |rules| joined(rules.iter(), "none"));
    optional("endpoints", Some(endpoints));
    let networks = record.allowed_networks.as_ref();
    let networks = networks.map_or("any".to_owned(), |networks| joined(networks.iter(), "none"));
    optional("networks", Some(networks));
    let rate = record.rate_limit.map_or("none".to_owned(), |limit| {
        let left = limit.quota(usage.rate, now).remaining();
        format!("{}, {left} left now", spell_rate(&limit))
    });
    optional("rate limit", Some(rate));
    optional(
        "uses left",
        record.remaining_uses.map(|uses| uses.to_string()),
    );
    optional(
        "template",
        record.scope_type.as_ref().map(ToString::to_string),
    );
    optional("metadata", record.metadata.as_deref().map(one_line));
    optional("issued", Some(rfc3339::in_seconds(record.created_at)));
    optional(
        "last used",
        Some(
            record
                .last_used_at
                .map_or("never".to_owned(), rfc3339::in_seconds),
        ),
    );
    optional(
        "expires",
        Some(
            record
                .expires_at
                .map_or("never".to_owned(), rfc3339::in_seconds),
        ),
    );
    optional("lifetime", record.lifetime_given().map(duration::spell));
    optional(
        "derived from",
        record.derived_from.map(|from| from.key_id.to_string()),
    );
    optional(
        "suspended with",
        record.suspended_with.map(|id| id.to_string()),
    );
    optional("lineage", Some(record.lineage.to_string()));
    optional("replaced by", record.replaced_by.map(|id| id.to_string()));
    optional(
        "overlap until",
        record.overlap_until.map(rfc3339::in_seconds),
    );
    optional(
        "first use ends",
        record.ends_at_first_use.map(|id| id.to_string()),
    );
    optional("digest", Some(digest_text(record)));
    optional("version", Some(record.version.to_string()));
    rows
}

/// How the digest was made; not the digest.
fn digest_text(record: &KeyRecord) -> String {
    match record.digest.kind() {
        DigestKind::HmacSha256 { pepper } => format!("HMAC-SHA-256, pepper {pepper}"),
        _ => "SHA-256, no pepper".to_owned(),
    }
}

/// Metadata may contain anything, including control sequences for a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
