//! `GET /v1/keys/plan`: which keys are due for a notice, a rotation or a clean-up.

use axum::Json;
use axum::extract::State;
use keystile::{KeyRecord, Millis, PlanAction, RotationPolicy, UnixMillis};
use keystile_store::{Filter, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::issue::millis;
use super::list::{PAGE_MAX, cursor, size};
use crate::app::App;
use crate::caller::Caller;
use crate::damage_view::DamageView;
use crate::extract::{Form, StrictQuery};
use crate::problem::{BadInput, Guarded, Problem};
use crate::rfc3339::rfc3339;

/// The longest time to look ahead: 100 years of 365.25 days.
const WITHIN_SECONDS_MAX: u64 = 3_155_760_000;

/// Selects keys, and the time to look ahead.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlanQuery {
    /// Includes a notice for every key that ends within this many seconds.
    #[param(minimum = 0, maximum = 3155760000_i64)]
    within_seconds: Option<u64>,
    /// Starts after this key: the `next` of the previous page.
    after: Option<String>,
    /// The maximum number of keys to check; the default is 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

impl Form for PlanQuery {
    const EXPECTED: &str =
        "The query must have only within_seconds, after and limit, each at most once.";
}

/// The actions that are due for the keys of a page.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanPage {
    due: Vec<DueView>,
    /// The rows of the page that cannot be read: what is due for those keys is not known.
    damaged: Vec<DamageView>,
    /// The `after` of the next page; null on the last page.
    next: Option<String>,
}

/// An action that is due.
#[derive(Serialize, ToSchema)]
pub(crate) struct DueView {
    key_id: String,
    client_name: String,
    client_email: Option<String>,
    /// `notice`, `rotate` or `clean_up`.
    action: &'static str,
    /// When the key ends or ended.
    at: String,
    /// For a notice: the lead time that was reached. Send one notice per key and lead.
    lead_seconds: Option<u64>,
}

/// List keys that are due for a notice, a rotation or a clean-up. Changes nothing.
#[utoipa::path(
    get, path = "/v1/keys/plan", tag = "keys", params(PlanQuery),
    responses((status = 200, description = "The actions that are due", body = PlanPage), BadInput, Guarded),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn plan(
    State(app): State<App>,
    caller: Caller,
    StrictQuery(query): StrictQuery<PlanQuery>,
) -> Result<Json<PlanPage>, Problem> {
    let mut policy = RotationPolicy::default();
    if let Some(seconds) = query.within_seconds {
        if seconds > WITHIN_SECONDS_MAX {
            return Err(Problem::invalid(
                "within_seconds must be at most 100 years.",
            ));
        }
        let lead: Millis = millis(seconds)?;
        policy = policy.with_notice_leads([lead]);
    }
    let limit = size(query.limit.or(Some(PAGE_MAX)))?;
    let mut page = Page::first(limit);
    if let Some(after) = &query.after {
        let after = cursor(after)?;
        caller.may_start_after(&app, &after).await?;
        page = page.after(after);
    }
    let mut filter = Filter::default();
    caller.restrict(&mut filter)?;
    let listed = app.backend().list(&filter, page).await?;
    Ok(Json(PlanPage {
        next: listed.next.map(|next| next.to_string()),
        damaged: caller.damage(&listed.damaged),
        due: listed
            .records
            .iter()
            .filter(|record| caller.sees(record))
            .flat_map(|record| due(record, &policy, caller.now))
            .collect(),
    }))
}

fn due<'r>(
    record: &'r KeyRecord,
    policy: &RotationPolicy,
    now: UnixMillis,
) -> impl Iterator<Item = DueView> + use<'r> {
    let found = keystile::plan([record], policy, now);
    found.into_iter().filter_map(move |due| {
        let (action, at, lead) = match due.action {
            PlanAction::Notice { ends_at, lead } => ("notice", ends_at, Some(lead)),
            PlanAction::Rotate { ends_at } => ("rotate", ends_at, None),
            PlanAction::CleanUp { ended_at } => ("clean_up", ended_at, None),
            _ => return None,
        };
        Some(DueView {
            key_id: record.id.to_string(),
            client_name: record.client_name.to_string(),
            client_email: record.client_email.as_deref().map(str::to_owned),
            action,
            at: rfc3339(at),
            lead_seconds: lead.map(|lead| lead.secs_ceil()),
        })
    })
}
