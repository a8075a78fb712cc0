//! `keystile revoke`: ends a key permanently.

use clap::Args;
use keystile::{KeyId, UnixMillis};
use keystile_store::{Reach, revoke_reaching};

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::suspend::{note_derived, show_outcome};
use crate::values;

/// Revoke a key permanently: it is refused from now on.
///
/// A key that is already revoked keeps its first reason. A key whose row is damaged can be revoked
/// too: only its status is written.
///
/// Keys that derive from it are revoked with it. If its successor lives, they derive from that too,
/// and stay as they are, unless --derived is set. The output says how many there are of each.
///
/// Example:
///   keystile revoke 1AbCdEfGhIjKlMnO --reason 'found in a public repository'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RevokeArguments {
    /// The key's public id, as printed by issue and list.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
    /// Why the key is revoked, for the audit log.
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: String,
    /// Also revoke the keys that it was the source of if its successor lives.
    #[arg(long)]
    derived: bool,
}

/// Carries out `keystile revoke`.
pub(crate) async fn run(
    arguments: &RevokeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let reach = match arguments.derived {
        true => Reach::Own,
        false => Reach::Last,
    };
    let (store, id) = (&opened.store, &arguments.id);
    let ended = revoke_reaching(store, id, &arguments.reason, reach, now).await?;
    let done = if ended.outcome.is_changed() {
        "revoked"
    } else {
        "already revoked:"
    };
    note_derived(&ended, "revoked", io);
    show_outcome(&ended.outcome, done, now, config, io)
}
