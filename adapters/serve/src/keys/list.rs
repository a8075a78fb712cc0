//! `GET /v1/keys` and `GET /v1/keys/{id}`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use keystile_store::{Cursor, Filter, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::change::etag;
use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Form, Id, StrictQuery};
use crate::problem::{BadInput, Guarded, Problem};
use crate::view::KeyView;

/// How many keys a page has by default, and at most.
pub(crate) const PAGE: usize = 100;
pub(crate) const PAGE_MAX: usize = 500;

/// Selects keys.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Starts after this key: the `next` of the previous page.
    after: Option<String>,
    /// The maximum number of keys; the default is 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Only keys of this owner.
    owner: Option<String>,
    /// Only keys of this client.
    client_name: Option<String>,
}

impl Form for ListQuery {
    const EXPECTED: &str =
        "The query must have only after, limit, owner and client_name, each at most once.";
}

/// A page of keys, in the order in which they were issued.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyPage {
    keys: Vec<KeyView>,
    /// The rows of the page that cannot be read.
    damaged: Vec<DamageView>,
    /// The `after` of the next page; null on the last page.
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
    StrictQuery(query): StrictQuery<ListQuery>,
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
    let listed = app.backend().list(&filter, page).await?;
    Ok(Json(KeyPage {
        next: listed.next.map(|next| next.to_string()),
        damaged: caller.damage(&listed.damaged),
        keys: listed
            .records
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
        (status = 200, description = "The key", body = KeyView,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        (status = 404, description = "The caller can see no key with this id", body = Problem),
        Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Response, Problem> {
    let record = caller.readable(app.backend().record(&id).await)?;
    let view = Json(KeyView::new(&record, caller.now));
    Ok((etag(&record)?, view).into_response())
}

/// The size of a page.
pub(crate) fn size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(PAGE) {
        size @ 1..=PAGE_MAX => Ok(size),
        _ => Err(Problem::invalid("limit must be 1 to 500.")),
    }
}

/// Where a page starts.
pub(crate) fn cursor(text: &str) -> Result<Cursor, Problem> {
    let expected = "after must be a key's id, such as the `next` of the previous page.";
    text.parse().map_err(|_| Problem::invalid(expected))
}
