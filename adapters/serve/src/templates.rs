//! The templates that keys can be issued from.

pub(crate) mod apply;
pub(crate) mod edit;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use keystile::TemplateName;
use keystile_store::{StoreError, StoredTemplate, TEMPLATES_PAGE_MAX, TemplateProblem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::caller::Caller;
use crate::extract::{Form, StrictQuery};
use crate::if_match;
use crate::problem::{BadInput, Guarded, Problem};
use crate::template_view::TemplateView;

/// The template that a field names.
pub(crate) async fn named(app: &App, name: &str) -> Result<StoredTemplate, Problem> {
    let unknown =
        || Problem::invalid("template must be the name of a template: see /v1/templates.");
    let name = TemplateName::new(name).map_err(|_| unknown())?;
    match app.backend().template(&name).await {
        Err(StoreError::Template(TemplateProblem::NotFound)) => Err(unknown()),
        found => Ok(found?),
    }
}

/// The name in the path.
pub(crate) struct Name(pub(crate) TemplateName);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let text = text.map_err(|_| Problem::no_template())?;
        let name = TemplateName::new(&text).map_err(Problem::from);
        name.map(Self)
    }
}

/// Which templates to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TemplatesQuery {
    /// Starts after this name: the `next` of the previous page.
    after: Option<String>,
    /// The maximum number of templates; the default is 50.
    #[param(minimum = 1, maximum = 50)]
    limit: Option<usize>,
}

impl Form for TemplatesQuery {
    const EXPECTED: &str = "The query must have only after and limit, each at most once.";
}

/// A page of templates, by their names. The presets are at the start of the first one, in addition
/// to its limit.
#[derive(Serialize, ToSchema)]
pub(crate) struct TemplatePage {
    templates: Vec<TemplateView>,
    /// The rows of the page that cannot be read.
    damaged: Vec<DamagedTemplateView>,
    /// The `after` of the next page; null on the last page.
    next: Option<String>,
}

/// Where the row of a template cannot be read.
#[derive(Serialize, ToSchema)]
struct DamagedTemplateView {
    /// Its name, if that can be read.
    name: Option<String>,
    column: &'static str,
    /// What was expected there.
    expected: &'static str,
}

/// List templates. They are the same for all owners.
#[utoipa::path(
    get, path = "/v1/templates", tag = "templates", params(TemplatesQuery),
    responses((status = 200, description = "A page", body = TemplatePage), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn list(
    State(app): State<App>,
    _caller: Caller,
    StrictQuery(query): StrictQuery<TemplatesQuery>,
) -> Result<Json<TemplatePage>, Problem> {
    let limit = query.limit.unwrap_or(TEMPLATES_PAGE_MAX);
    if !(1..=TEMPLATES_PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid("limit must be 1 to 50."));
    }
    let after = query.after.as_deref();
    if after.is_some_and(|after| after.contains('\0')) {
        let expected = "after must be a template's name, such as the `next` of the previous page.";
        return Err(Problem::invalid(expected));
    }
    let listed = app.backend().list_templates(after, limit).await?;
    let presets = StoredTemplate::presets().filter(|_| after.is_none());
    let presets = presets.map(|preset| TemplateView::new(&preset));
    let damaged = listed.damaged.iter();
    Ok(Json(TemplatePage {
        templates: presets
            .chain(listed.templates.iter().map(TemplateView::new))
            .collect(),
        damaged: damaged
            .map(|damage| DamagedTemplateView {
                name: damage.name.as_ref().map(ToString::to_string),
                column: damage.column,
                expected: damage.expected,
            })
            .collect(),
        next: listed.next,
    }))
}

/// Show a template.
#[utoipa::path(
    get, path = "/v1/templates/{name}", tag = "templates",
    params(("name" = String, Path, description = "The template's name")),
    responses(
        (status = 200, description = "The template", body = TemplateView,
            headers(("ETag" = String, description = "Its version, for If-Match"))),
        (status = 404, description = "There is none with this name", body = Problem),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn show(
    State(app): State<App>,
    _caller: Caller,
    Name(name): Name,
) -> Result<Response, Problem> {
    let found = app.backend().template(&name).await?;
    Ok((etag(&found)?, Json(TemplateView::new(&found))).into_response())
}

/// The header with the version of a template.
fn etag(stored: &StoredTemplate) -> Result<[(HeaderName, HeaderValue); 1], Problem> {
    if_match::etag(&tag_of(stored))
}

/// A template that was removed and added again has the same versions, and another beginning.
fn tag_of(stored: &StoredTemplate) -> String {
    format!("{}-{}", stored.version, stored.created_at.get())
}
