//! `keystile revoke`: ends a key permanently.

use clap::Args;
use keystile::{UNSPECIFIED, UnixMillis};
use keystile_store::{Reach, Store, revoke_reaching};

use crate::bulk::{self, Verb, Which};
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
/// Many keys are revoked by owner, client or template, which apply together if several are given,
/// or by a list of ids. --dry-run prints how many it would be. If it is stopped, run it again.
///
/// Keys that derive from it are revoked with it. If its successor lives, they derive from that too,
/// and stay as they are, unless --derived is set. The output says how many there are of each.
///
/// Example:
///   keystile revoke 1AbCdEfGhIjKlMnO --reason 'found in a public repository'
///   keystile revoke --owner acme --dry-run
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RevokeArguments {
    #[command(flatten)]
    which: Which,
    /// Why the key is revoked, for the audit log [default: unspecified]
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: Option<String>,
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
    let which = &arguments.which;
    let reason = arguments.reason.as_deref().unwrap_or(UNSPECIFIED);
    let ids = which.ids(io)?;
    let opened = config.open().await?;
    let store = opened.store.acting_as(&config.by);
    let now = UnixMillis::now()?;
    let reach = match arguments.derived {
        true => Reach::Own,
        false => Reach::Last,
    };
    if let (Some(id), false) = (&which.id, which.dry_run) {
        let ended = revoke_reaching(&store, id, reason, reach, now).await?;
        let done = if ended.outcome.is_changed() {
            "revoked"
        } else {
            "already revoked:"
        };
        note_derived(&ended, "revoked", io);
        return show_outcome(&ended.outcome, done, now, config, io);
    }
    let verb = Verb::Revoke { reason, reach };
    bulk::run(which, &ids, verb, &store, config, io).await
}
