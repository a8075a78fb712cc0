//! `POST /v1/keys/change`: the same change for many keys.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use keystile::{KeyChange, KeyId, KeyRecord, UnixMillis};
use keystile_store::OfDerived;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bulk::{self, BulkBody, FailedKey, leave_out};
use super::change::{ChangeBody, of_derived, requested};
use crate::app::App;
use crate::backend::{Backend, Permit};
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Body, Form};
use crate::problem::{BadInput, Guarded, Problem};
use crate::text::without_key;

/// Selects keys by at least one of owner, client name and template; those that are given apply
/// together.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeManyBody {
    /// Only keys of this owner.
    #[schema(max_length = 255)]
    owner: Option<String>,
    /// Only keys of this client.
    #[schema(max_length = 255)]
    client_name: Option<String>,
    /// Only keys that were issued from a template with this name.
    template: Option<String>,
    /// What is to be changed of each.
    change: ChangeBody,
    /// For the audit log: at most 255 bytes.
    #[schema(max_length = 255)]
    reason: Option<String>,
    /// Change nothing, and return what would be changed, and what would be refused.
    #[serde(default)]
    dry_run: bool,
    /// Starts after this key: the `next` of the previous response.
    after: Option<String>,
    /// The maximum number of keys that are looked at; the default is 50.
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

impl Form for ChangeManyBody {
    const EXPECTED: &str = "The body must be a JSON object with change, which has the fields of \
        PATCH /v1/keys/{id}, and only any of owner, client_name, template, reason, dry_run, after \
        and limit, with at least one of the first three.";
}

/// What was changed, or would be.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangedMany {
    /// Whether nothing was changed, because that was asked for.
    dry_run: bool,
    /// The ids of the keys that were changed, or would be.
    key_ids: Vec<String>,
    /// How many other keys that derive from these were changed with them, or would be, because of
    /// `derived`.
    derived_changed: usize,
    /// The caller's own key, and the keys that it derives from: they stay, so that the caller can
    /// go on. Change them one by one.
    left_out: Vec<String>,
    /// The keys that could not be changed, or could not be.
    failed: Vec<FailedKey>,
    /// The rows that cannot be read. They were not changed.
    damaged: Vec<DamageView>,
    /// Send the same body with this `after` to go on; null after the last key.
    next: Option<String>,
}

/// Change the keys that a filter selects, of those that the caller may see.
///
/// Each key is changed as by `PATCH /v1/keys/{id}`, with an event, if it is within the caller's own
/// before the change and after it. Keys that have ended or have a successor are passed over, and so
/// are those that have what is asked for already. Each call looks at no more keys than `limit`: go
/// on with `next` until it is null.
#[utoipa::path(
    post, path = "/v1/keys/change", tag = "keys", request_body = ChangeManyBody,
    responses((status = 200, description = "What was changed", body = ChangedMany), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<ChangeManyBody>,
) -> Result<Json<ChangedMany>, Problem> {
    let reason = body.reason.as_deref().map(without_key).transpose()?;
    let requested = requested(&app, &body.change).await?;
    let rule = of_derived(body.change.derived.as_deref())?;
    let selecting = BulkBody::selecting(
        [&body.owner, &body.client_name, &body.template, &body.reason],
        &body.after,
        body.limit,
    );
    let asked = bulk::asked(&app, &selecting, &caller).await?;
    let backend = app.acting_as(&caller, reason)?;
    let now = caller.now;
    let mut selection = backend.to_change(&asked.filter, asked.page, now).await?;
    let left_out = leave_out(&*backend, &caller, &mut selection.keys).await?;
    let permit = |before: &KeyRecord, after: &KeyRecord| {
        if !asked.filter.shows(before) {
            return Err(Problem::not_found());
        }
        caller.may_change(before, after)
    };
    let each = Each {
        requested: &requested,
        of_derived: rule,
        now,
        dry_run: body.dry_run,
        permit: &permit,
    };
    let mut changed = each.of(&*backend, &selection.keys).await;
    if !body.dry_run {
        let (keys, failed, by) = (changed.key_ids.len(), changed.failed.len(), caller.id());
        tracing::info!(keys, failed, by, "changed many");
    }
    let next = changed.next(selection.next.map(|next| next.to_string()))?;
    Ok(Json(ChangedMany {
        dry_run: body.dry_run,
        derived_changed: changed.derived_changed(),
        key_ids: changed.key_ids,
        left_out,
        failed: changed.failed,
        damaged: caller.damage(&selection.damaged),
        next,
    }))
}

/// A change of each of some keys.
pub(crate) struct Each<'a> {
    pub(crate) requested: &'a KeyChange,
    pub(crate) of_derived: OfDerived,
    pub(crate) now: UnixMillis,
    pub(crate) dry_run: bool,
    /// Answers `not_found` for a key that is to be passed over.
    pub(crate) permit: &'a Permit<'a>,
}

/// What became of each.
#[derive(Default)]
pub(crate) struct EachChanged {
    pub(crate) key_ids: Vec<String>,
    /// Those that derive from one, each once: a plan finds one that derives from several for each.
    derived: HashSet<KeyId>,
    pub(crate) failed: Vec<FailedKey>,
    stopped_by: Option<Problem>,
}

impl Each<'_> {
    /// Changes each key, or finds out whether it could be. It ends early if the store is
    /// unavailable, or the template that it relies on is another one by then.
    pub(crate) async fn of(&self, backend: &dyn Backend, keys: &[KeyRecord]) -> EachChanged {
        let mut all = EachChanged::default();
        for key in keys {
            let (requested, rule, now) = (self.requested, self.of_derived, self.now);
            let changed = match self.dry_run {
                true => backend.would_change(&key.id, requested, rule, now, self.permit),
                false => backend.change_if(&key.id, requested, rule, now, self.permit),
            };
            match changed.await {
                Ok(ended) if ended.outcome.is_changed() => {
                    all.key_ids.push(key.id.to_string());
                    all.derived.extend(ended.derived.iter().map(|key| key.id));
                }
                Ok(_) => {}
                Err(problem) if problem.status() == StatusCode::NOT_FOUND => {}
                Err(problem) if problem.ends_many() => {
                    all.stopped_by = Some(problem);
                    break;
                }
                Err(problem) => all.failed.push(FailedKey {
                    key_id: key.id.to_string(),
                    message: problem.into_message(),
                }),
            }
        }
        all
    }
}

impl EachChanged {
    /// How many keys were changed with one that they derive from, without those of the call.
    pub(crate) fn derived_changed(&self) -> usize {
        let own: HashSet<_> = self.key_ids.iter().map(String::as_str).collect();
        let derived = self.derived.iter();
        derived.filter(|id| !own.contains(id.as_str())).count()
    }

    /// Where the next call starts. If the store failed before the last key, that is after the last
    /// one that was changed. It fails if the template was changed, which all keys are due for again.
    pub(crate) fn next(&mut self, next: Option<String>) -> Result<Option<String>, Problem> {
        let Some(problem) = self.stopped_by.take() else {
            return Ok(next);
        };
        match self.key_ids.last() {
            None => Err(problem),
            Some(last) => match problem.after_changes(self.key_ids.len()) {
                None => Ok(Some(last.clone())),
                Some(problem) => Err(problem),
            },
        }
    }
}
