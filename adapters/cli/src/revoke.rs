//! `keystile revoke`: ends a key permanently.

use clap::Args;
use keystile::{KeyId, UnixMillis};
use keystile_store::{Store, revoke};

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::suspend::show_outcome;
use crate::values;

/// Revoke a key permanently: it is refused from now on.
///
/// A key that is already revoked keeps its first reason. A key whose row is damaged can be revoked
/// too: only its status is written.
///
/// Example:
///   keystile revoke 1AbCdEfGhIjKlMnO --reason 'found in a public repository'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RevokeArguments {
    /// The key's public id, as printed by issue and list.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
    /// Why the key is revoked, for the audit log [default: unspecified]
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: Option<String>,
}

/// Carries out `keystile revoke`.
pub(crate) async fn run(
    arguments: &RevokeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let store = opened.store.acting_as(&config.by);
    let reason = arguments.reason.as_deref().unwrap_or(keystile::UNSPECIFIED);
    let outcome = revoke(&store, &arguments.id, reason, now).await?;
    let done = if outcome.is_changed() {
        "revoked"
    } else {
        "already revoked:"
    };
    show_outcome(&outcome, done, now, config, io)
}
