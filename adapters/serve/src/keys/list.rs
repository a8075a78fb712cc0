//! `GET /v1/keys` and `GET /v1/keys/{id}`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use keystile::{Environment, TemplateName, UnixMillis};
use keystile_store::{Cursor, Filter, KeyStatus, Page, Sort};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::change::etag;
use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Form, Id, StrictQuery};
use crate::problem::{BadInput, Guarded, Problem};
use crate::rfc3339::parse_rfc3339;
use crate::view::KeyView;

/// How many keys a page has by default, and at most.
pub(crate) const PAGE: usize = 100;
pub(crate) const PAGE_MAX: usize = 500;

const ID_BYTES: usize = 16;

/// Selects keys.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Where the page starts: the `next` of the previous page.
    after: Option<String>,
    /// The maximum number of keys; the default is 100.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// The order, ascending; the default is that of the filter's index. By last-used, and by
    /// another one than that with an owner, the filter must select fewer than 1,000 keys. It is
    /// the same for all pages.
    #[param(pattern = "^(inserted|id|issued|expires|last-used)$")]
    sort: Option<String>,
    /// Only keys of this owner.
    owner: Option<String>,
    /// Only keys of this client.
    client_name: Option<String>,
    /// Only keys with this status now.
    #[param(pattern = "^(active|retiring|replaced|expired|suspended|revoked)$")]
    status: Option<String>,
    /// Only keys of this environment.
    environment: Option<String>,
    /// Only keys that were issued from a template with this name.
    template: Option<String>,
    /// Only keys whose id begins with this text.
    id_prefix: Option<String>,
    /// Only keys that have not ended, and end before this instant.
    ends_before: Option<String>,
    /// Only keys that were issued before this instant, and were not used at it or later.
    unused_since: Option<String>,
    /// Only keys that were issued at this instant or later.
    issued_from: Option<String>,
    /// Only keys that were issued before this instant.
    issued_before: Option<String>,
}

impl Form for ListQuery {
    const EXPECTED: &str = "The query must have only after, limit, sort, owner, client_name, status, environment, template, \
         id_prefix, ends_before, unused_since, issued_from and issued_before, each at most once.";
}

impl ListQuery {
    fn filter(self, now: UnixMillis) -> Result<Filter, Problem> {
        let mut filter = Filter::default();
        filter.owner = self.owner.map(Box::from);
        filter.client_name = self.client_name.map(Box::from);
        if let Some(name) = &self.status {
            let status = KeyStatus::from_name(name).ok_or_else(|| {
                Problem::invalid(
                    "status must be active, retiring, replaced, expired, suspended or revoked.",
                )
            })?;
            filter = filter.status(status, now);
        }
        filter.environment = self
            .environment
            .as_deref()
            .map(Environment::new)
            .transpose()?;
        filter.template = self
            .template
            .as_deref()
            .map(TemplateName::new)
            .transpose()?;
        if let Some(prefix) = &self.id_prefix {
            if !is_id_prefix(prefix) {
                let expected = "id_prefix must be 1 to 16 of A-Z a-z 0-9.";
                return Err(Problem::invalid(expected));
            }
            filter = filter.id_prefix(prefix);
        }
        let before = instant("ends_before", self.ends_before)?;
        filter.ending = before.map(|before| (now, before));
        filter.unused_since = instant("unused_since", self.unused_since)?;
        filter.issued_from = instant("issued_from", self.issued_from)?;
        filter.issued_before = instant("issued_before", self.issued_before)?;
        Ok(filter)
    }
}

fn is_id_prefix(text: &str) -> bool {
    (1..=ID_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// An instant in the query.
pub(crate) fn instant(name: &str, text: Option<String>) -> Result<Option<UnixMillis>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let instant = parse_rfc3339(&text).ok_or_else(|| {
        Problem::invalid(format!(
            "{name} must be a date or an instant as RFC 3339, such as 2026-09-21 or \
             2026-09-21T14:13:20Z."
        ))
    })?;
    Ok(Some(instant))
}

/// A page of keys, in the order in which they were added to the store, or in that of `sort` or
/// the filter. With several filters, or one by status or time, it can have fewer keys than
/// `limit`, or none, and a next page.
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
    let mut page = Page::first(limit);
    if let Some(after) = &query.after {
        let after = cursor(after)?;
        caller.may_start_after(&app, &after).await?;
        page = page.after(after);
    }
    page.sort = query.sort.as_deref().map(sort).transpose()?;
    let mut filter = query.filter(caller.now)?;
    caller.restrict(&mut filter)?;
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

fn sort(name: &str) -> Result<Sort, Problem> {
    Sort::from_name(name)
        .ok_or_else(|| Problem::invalid("sort must be inserted, id, issued, expires or last-used."))
}

/// Where a page starts.
pub(crate) fn cursor(text: &str) -> Result<Cursor, Problem> {
    let expected = "after must be the `next` of the previous page.";
    text.parse().map_err(|_| Problem::invalid(expected))
}
