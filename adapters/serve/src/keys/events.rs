//! `GET /v1/keys/events` and `GET /v1/keys/{id}/events`: what happened, from the audit.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::list::size;
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
}

impl Form for EventsQuery {
    const EXPECTED: &str =
        "The query must have only after and limit, each a whole number and at most once.";
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

/// List the events of all keys, for callers with `keystile:owners:any`.
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
    caller.may_see_all()?;
    page(&app, &caller, None, &query).await
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
    // The events of a key are in other rows than a damaged one.
    let _ = caller.found(app.backend().record(&id).await)?;
    page(&app, &caller, Some(&id), &query).await
}

async fn page(
    app: &App,
    caller: &Caller,
    id: Option<&keystile::KeyId>,
    query: &EventsQuery,
) -> Result<Json<EventPage>, Problem> {
    let limit = size(query.limit)?;
    let after = query.after.unwrap_or(0);
    if after > i64::MAX.unsigned_abs() {
        return Err(Problem::invalid("after must be below 2^63."));
    }
    let listed = app.backend().events(id, after, limit).await?;
    let damaged = listed.damaged.iter();
    Ok(Json(EventPage {
        next: listed.last().filter(|_| listed.rows() == limit),
        damaged: damaged.map(|row| caller.damage_view(row)).collect(),
        events: listed
            .events
            .iter()
            .map(|(number, event)| EventView::new(*number, event))
            .collect(),
    }))
}
