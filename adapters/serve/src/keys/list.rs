//! `GET /v1/keys` and `GET /v1/keys/{id}`.

use axum::Json;
use axum::extract::State;
use keystile::KeyId;
use keystile_store::{Filter, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Asked, Form, Id};
use crate::problem::{BadInput, Guarded, Problem};
use crate::view::KeyView;

/// Keys in a page unless it is said, and at most.
pub(crate) const PAGE: usize = 100;
pub(crate) const PAGE_MAX: usize = 500;

/// Which keys are shown.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Begins behind this key: the `next` of the page before.
    after: Option<String>,
    /// At most so many; 100 unless it is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Of this owner alone.
    owner: Option<String>,
    /// Of this client alone.
    client_name: Option<String>,
}

impl Form for ListQuery {
    const EXPECTED: &str =
        "The query has after, limit, owner and client_name, each once or not at all.";
}

/// A page of keys, in the order in which they were issued.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyPage {
    keys: Vec<KeyView>,
    /// What the next page is asked for with; null behind the last.
    next: Option<String>,
}

/// List keys.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys", params(ListQuery),
    responses((status = 200, description = "A page", body = KeyPage), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Asked(query): Asked<ListQuery>,
) -> Result<Json<KeyPage>, Problem> {
    let limit = size(query.limit)?;
    let mut filter = Filter::default();
    filter.owner = query.owner.map(Box::from);
    filter.client_name = query.client_name.map(Box::from);
    caller.restrict(&mut filter)?;
    let mut page = Page::first(limit);
    if let Some(after) = &query.after {
        page = page.after(cursor(after)?);
    }
    let records = app.backend.list(&filter, page).await?;
    let next = records.last().filter(|_| records.len() == limit);
    Ok(Json(KeyPage {
        next: next.map(|record| record.id.to_string()),
        keys: records
            .iter()
            .filter(|record| caller.sees(record))
            .map(|record| KeyView::new(record, caller.now))
            .collect(),
    }))
}

/// Show a key.
#[utoipa::path(
    get, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's public id")),
    responses(
        (status = 200, description = "The key", body = KeyView),
        (status = 404, description = "There is none that the caller may see", body = Problem),
        Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<KeyView>, Problem> {
    let record = caller.seen(app.backend.record(&id).await?)?;
    Ok(Json(KeyView::new(&record, caller.now)))
}

/// How large a page is to be.
pub(crate) fn size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(PAGE) {
        size @ 1..=PAGE_MAX => Ok(size),
        _ => Err(Problem::invalid("A limit is 1 to 500.")),
    }
}

fn cursor(text: &str) -> Result<KeyId, Problem> {
    let expected = "A page begins behind a key's id, as `next` of the page before says it.";
    text.parse().map_err(|_| Problem::invalid(expected))
}
