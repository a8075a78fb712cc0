//! `keystile revoke`: a key is refused from now on, for good.

use clap::Args;
use keystile::{KeyId, UnixMillis};
use keystile_store::revoke;

use crate::failure::{Exit, Failure};
use crate::setting::Setting;
use crate::surroundings::Surroundings;
use crate::values;
use crate::view::RecordView;

/// Revoke a key, for good: it is refused from now on.
///
/// A key that is revoked already stays as it is, with its first reason.
///
/// Example:
///   keystile revoke 1AbCdEfGhIjKlMnO --reason 'found in a public repository'
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RevokeArguments {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    reason: String,
}

/// Carries out `keystile revoke`.
pub(crate) async fn run(
    arguments: &RevokeArguments,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    let opened = setting.open().await?;
    let now = UnixMillis::now()?;
    let outcome = revoke(&opened.store, &arguments.id, &arguments.reason, now).await?;
    let done = if outcome.is_changed() {
        "revoked"
    } else {
        "was revoked already:"
    };
    let record = outcome.record();
    if setting.json {
        surroundings.json(&RecordView::new(record, now))?;
    } else {
        surroundings.line(&format!("{done} {}  {}", record.id, record.client_name))?;
    }
    Ok(Exit::Done)
}
