//! `GET /v1/keys/events` and `GET /v1/keys/{id}/events`: what happened, from the audit.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use keystile::{EventKind, KeyId};
use keystile_store::{EventFilter, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::list::{instant, size};
use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Form, Id, StrictQuery};
use crate::problem::{BadInput, Guarded, Problem};
use crate::view::EventView;

/// Selects events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Starts after the event with this number: the `next` of the previous page.
    #[param(minimum = 0, maximum = 9223372036854775807_i64)]
    after: Option<u64>,
    /// The maximum number of events; the default is 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Only events of this kind.
    #[param(
        pattern = "^(issued|rotated|revoked|suspended|resumed|expired|rehashed|imported|changed|deleted|pruned)$"
    )]
    kind: Option<String>,
    /// Only events of keys that belong to this owner now, or did when they were deleted. A caller without
    /// `keystile:owners:any` can list the events of its own owner's keys.
    owner: Option<String>,
    /// Only what happened at this instant or later.
    since: Option<String>,
    /// Only what happened before this instant.
    until: Option<String>,
}

impl EventsQuery {
    fn filter(&self) -> Result<EventFilter, Problem> {
        let mut filter = EventFilter::new();
        let kind = |name: &str| {
            let expected = "kind must be issued, rotated, revoked, suspended, resumed, expired, \
                            rehashed, imported, changed, deleted or pruned.";
            EventKind::from_name(name).ok_or_else(|| Problem::invalid(expected))
        };
        filter.kind = self.kind.as_deref().map(kind).transpose()?;
        filter.owner = self.owner.as_deref().map(Box::from);
        filter.since = instant("since", self.since.clone())?;
        filter.until = instant("until", self.until.clone())?;
        Ok(filter)
    }
}

impl Form for EventsQuery {
    const EXPECTED: &str = "The query must have only after, limit, kind, owner, since and until, each at most once, and \
         the first two must be whole numbers.";
}

/// A page of events, in the order in which they happened.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    events: Vec<EventView>,
    /// The events of the page that cannot be read; `row` is the number of the event.
    damaged: Vec<DamageView>,
    /// The `after` of the next page; null on the last page.
    next: Option<u64>,
}

/// List the events of all keys, for callers with `keystile:owners:any`, or of the keys of the
/// caller's own owner, if it is named.
#[utoipa::path(
    get, path = "/v1/keys/events", tag = "keys", params(EventsQuery),
    responses((status = 200, description = "A page", body = EventPage), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn all(
    State(app): State<App>,
    caller: Caller,
    StrictQuery(query): StrictQuery<EventsQuery>,
) -> Result<Json<EventPage>, Problem> {
    let filter = query.filter()?;
    if !caller.owns(filter.owner.as_deref()) {
        caller.may_see_all()?;
    }
    page(&app, &caller, filter, &query).await
}

/// List the events of one key.
#[utoipa::path(
    get, path = "/v1/keys/{id}/events", tag = "keys",
    params(("id" = String, Path, description = "The key's public id"), EventsQuery),
    responses(
        (status = 200, description = "A page", body = EventPage),
        (status = 404, description = "The caller can see no key with this id", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn of_key(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    StrictQuery(query): StrictQuery<EventsQuery>,
) -> Result<Json<EventPage>, Problem> {
    let mut filter = query.filter()?.key(id);
    match app.backend().record(&id).await {
        // A key that was deleted: its events are for those who could see it.
        Err(StoreError::NotFound) => {
            let mut of_key = EventFilter::new().key(id);
            if !caller.has_every_owner() {
                let own = caller.own().owner.clone();
                of_key.owner = Some(own.ok_or_else(Problem::not_found)?);
                filter.owner = filter.owner.or_else(|| of_key.owner.clone());
            }
            let any = app.backend().list_events(&of_key, 0, 1).await?;
            if any.rows() == 0 {
                return Err(Problem::not_found());
            }
        }
        // The events of a key are in other rows than a damaged one.
        found => drop(caller.found(found)?),
    }
    page(&app, &caller, filter, &query).await
}

/// Whether the caller may know who did something: its own administrators are keys of its owner,
/// those of the platform are not.
async fn sees_actor(
    app: &App,
    caller: &Caller,
    actor: Option<&str>,
    known: &mut HashMap<KeyId, bool>,
) -> Result<bool, Problem> {
    if caller.has_every_owner() {
        return Ok(true);
    }
    let Some(id) = actor.and_then(|actor| actor.parse::<KeyId>().ok()) else {
        return Ok(false);
    };
    if let Some(sees) = known.get(&id) {
        return Ok(*sees);
    }
    let sees = match app.backend().record(&id).await {
        Ok(record) => caller.sees(&record),
        Err(StoreError::Corrupt(row)) => caller.sees_damage(&row),
        // Whose it was is not known.
        Err(StoreError::NotFound) => false,
        Err(error) => return Err(error.into()),
    };
    known.insert(id, sees);
    Ok(sees)
}

async fn page(
    app: &App,
    caller: &Caller,
    filter: EventFilter,
    query: &EventsQuery,
) -> Result<Json<EventPage>, Problem> {
    let limit = size(query.limit)?;
    let after = query.after.unwrap_or(0);
    if after > i64::MAX.unsigned_abs() {
        return Err(Problem::invalid("after must be below 2^63."));
    }
    let listed = app.backend().list_events(&filter, after, limit).await?;
    let damaged = listed.damaged.iter();
    let (mut events, mut known) = (Vec::new(), HashMap::new());
    for (number, event) in &listed.events {
        let view = EventView::new(*number, event);
        let sees = sees_actor(app, caller, event.actor.as_deref(), &mut known).await?;
        events.push(if sees { view } else { view.without_actor() });
    }
    Ok(Json(EventPage {
        next: listed.last().filter(|_| listed.rows() == limit),
        damaged: damaged.map(|row| caller.damage_view(row)).collect(),
        events,
    }))
}
