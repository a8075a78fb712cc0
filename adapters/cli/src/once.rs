//! `--idempotency-key` of `keystile issue` and `keystile rotate`.

use clap::Args;
use keystile::{By, KeyId, UnixMillis};
use keystile_serve::KeyView;
use keystile_store::{IssueOnce, Store, record};
use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use crate::duration::Lifetime;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;

/// The option. What it prints is no secret, but it is not repeated either.
#[derive(Args)]
pub(crate) struct OnceArguments {
    /// Issue one key, however often the command is run with this text: for a day, and for the
    /// same --actor and arguments. Later runs print no key.
    #[arg(long, value_name = "TEXT", value_parser = values::idempotency_key)]
    pub(crate) idempotency_key: Option<String>,
}

/// Silent: it is no part of what is asked for.
impl core::fmt::Debug for OnceArguments {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OnceArguments")
    }
}

#[derive(Serialize)]
struct IssuedBefore<'k> {
    key: Option<&'k str>,
    key_id: &'k str,
    record: Option<KeyView>,
}

impl OnceArguments {
    /// The request, if there is an idempotency key. `asked` is what is asked for, in a form that
    /// does not depend on how it was typed, nor on the release.
    pub(crate) fn request(&self, by: &By, asked: &Value) -> Result<Option<IssueOnce>, Failure> {
        let Some(key) = &self.idempotency_key else {
            return Ok(None);
        };
        let caller = format!("actor:{}", by.actor().unwrap_or_default());
        let body = asked.to_string();
        Ok(Some(IssueOnce::new(&caller, key, body.as_bytes())?))
    }
}

/// The members that are given: so an option that a later release adds changes no other request.
pub(crate) fn given_only(mut asked: Value) -> Value {
    if let Some(members) = asked.as_object_mut() {
        members.retain(|_, value| !value.is_null() && value.as_bool() != Some(false));
    }
    asked
}

/// A list whose order has no meaning.
pub(crate) fn sorted(texts: &[String]) -> Value {
    let mut texts = texts.to_vec();
    texts.sort_unstable();
    texts.dedup();
    match texts.is_empty() {
        true => Value::Null,
        false => texts.into(),
    }
}

pub(crate) fn of_lifetime(lifetime: Option<Lifetime>) -> Value {
    match lifetime {
        None => Value::Null,
        Some(Lifetime::For(span)) => span.get().into(),
        Some(Lifetime::Ever) => "never".into(),
    }
}

/// Says that the key was issued by an earlier run.
pub(crate) async fn issued_before(
    store: &impl Store,
    key_id: &KeyId,
    now: UnixMillis,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if config.json {
        let record = record(store, key_id).await.ok();
        io.json(&IssuedBefore {
            key: None,
            key_id: key_id.as_str(),
            record: record.map(|record| KeyView::new(&record, now)),
        })?;
    } else {
        io.note(&format!(
            "{key_id} was issued for this --idempotency-key before, and is not shown again; if \
             you did not get it: keystile rotate {key_id}"
        ));
    }
    Ok(Exit::Done)
}
