//! `keystile suspend` and `keystile resume`: a key is refused for a while.

use clap::Args;
use keystile::{KeyId, KeyRecord, Status, UnixMillis};
use keystile_store::{StoreError, record};

use crate::failure::{Exit, Failure};
use crate::setting::{Opened, Setting};
use crate::surroundings::Surroundings;
use crate::values;
use crate::view::RecordView;

/// Suspend a key: it is refused until it is resumed. Its expiry runs on.
///
/// Example:
///   keystile suspend 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct SuspendArguments {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
}

/// Resume a suspended key.
///
/// Example:
///   keystile resume 1AbCdEfGhIjKlMnO
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResumeArguments {
    /// The key's public id, as issue and list print it.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
}

/// Carries out `keystile suspend`.
pub(crate) async fn suspend(
    arguments: &SuspendArguments,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    let opened = setting.open().await?;
    let id = &arguments.id;
    let changed = keystile_store::suspend(&opened.store, id, UnixMillis::now()?).await;
    let (record, is_new) = settle(changed, &opened, id, &Status::Suspended).await?;
    let done = if is_new {
        "suspended"
    } else {
        "was suspended already:"
    };
    tell(&record, done, setting, surroundings)
}

/// Carries out `keystile resume`.
pub(crate) async fn resume(
    arguments: &ResumeArguments,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    let opened = setting.open().await?;
    let id = &arguments.id;
    let changed = keystile_store::resume(&opened.store, id, UnixMillis::now()?).await;
    let (record, is_new) = settle(changed, &opened, id, &Status::Active).await?;
    let done = if is_new {
        "resumed"
    } else {
        "was active already:"
    };
    tell(&record, done, setting, surroundings)
}

/// The record, and whether it was changed: a key that is as it was asked to be is no error.
async fn settle(
    changed: Result<KeyRecord, StoreError>,
    opened: &Opened,
    id: &KeyId,
    wanted: &Status,
) -> Result<(KeyRecord, bool), Failure> {
    match changed {
        Ok(record) => Ok((record, true)),
        Err(error) => {
            let found = record(&opened.store, id).await?;
            if found.status == *wanted {
                Ok((found, false))
            } else {
                Err(error.into())
            }
        }
    }
}

fn tell(
    record: &KeyRecord,
    done: &str,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    if setting.json {
        surroundings.json(&RecordView::new(record, UnixMillis::now()?))?;
    } else {
        surroundings.line(&format!("{done} {}  {}", record.id, record.client_name))?;
    }
    Ok(Exit::Done)
}
