//! `POST /v1/keys`: a new key.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use futures_util::future::BoxFuture;
use keystile::{
    EndpointRules, IssueRequest, Issued, Issuer, Millis, Networks, PermissionSet, SysRng,
};
use keystile_store::StoredTemplate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::NewKey;
use super::once::{self, Idempotency, IssuedBefore};
use crate::app::App;
use crate::backend::Backend;
use crate::caller::{Caller, EVERY_OWNER, READ, RENEW, WRITE};
use crate::extract::{Body, Form};
use crate::problem::{BadInput, Guarded, Problem};
use crate::templates::named;
use crate::text::without_key;
use crate::view::{KeyView, Rate};

/// The properties of a new key. What is left out is taken from the caller's key, except that
/// the default permissions are none, and the default lifetime is 90 days or less.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssueBody {
    /// The name of the client that gets the key: 1 to 255 bytes.
    #[schema(min_length = 1, max_length = 255)]
    client_name: String,
    /// The e-mail address that notices are sent to.
    #[schema(max_length = 255)]
    client_email: Option<String>,
    /// The account or tenant that it belongs to; must be the caller's own, unless the caller
    /// has `keystile:owners:any`.
    #[schema(max_length = 255)]
    owner: Option<String>,
    /// The environment that it is for; with the same rule as the owner.
    #[schema(pattern = "^[a-z0-9]{1,12}$")]
    environment: Option<String>,
    /// The name of a template: sets permissions, rate limit, endpoints and lifetime. The other
    /// fields may only narrow it.
    template: Option<String>,
    /// Permissions, such as `invoices:read`; the caller must have all of them.
    #[schema(max_items = 64)]
    permissions: Option<Vec<String>>,
    /// Endpoint rules, such as `GET,HEAD /api/data/*`.
    #[schema(max_items = 64)]
    allowed_endpoints: Option<Vec<String>>,
    /// IP addresses or CIDR blocks.
    #[schema(max_items = 64)]
    allowed_networks: Option<Vec<String>>,
    rate_limit: Option<Rate>,
    /// How many times it may be used in total.
    #[schema(minimum = 1)]
    uses: Option<u64>,
    /// How long it lives, in seconds.
    #[schema(minimum = 1)]
    expires_in_seconds: Option<u64>,
    /// Whether the key never expires; must not be set together with a lifetime.
    #[serde(default)]
    never_expires: bool,
    /// Custom JSON, at most 16 KiB.
    metadata: Option<Value>,
}

impl Form for IssueBody {
    const EXPECTED: &str = "The body must be a JSON object with client_name, and only any of \
        client_email, owner, environment, template, permissions, allowed_endpoints, \
        allowed_networks, rate_limit {limit, window_ms, burst}, uses, expires_in_seconds, \
        never_expires and metadata.";
}

/// Issue a key, and return its text. This is the only time it is shown.
///
/// The key never has more rights than the caller's: its permissions, endpoints, networks, rate
/// limit, uses and lifetime must be within the caller's, and its uses are taken off the caller's.
/// The key derives from the caller's: it is suspended and revoked with it. If the caller may issue
/// keys for every owner and derives from none itself, that is so only for keys of the same owner
/// and environment that may call this API, and others derive from none.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys", request_body = IssueBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Of several requests with \
        the same one, within a day, one issues a key; for the same caller and body")),
    responses(
        (status = 200, description = "The key was issued by an earlier request with this \
            Idempotency-Key, and is not shown again", body = IssuedBefore),
        (status = 201, description = "The key", body = NewKey),
        BadInput, Guarded,
    ),
    security(("key_header" = []), ("bearer" = [])),
)]
pub(crate) async fn issue(
    State(app): State<App>,
    caller: Caller,
    idempotency: Idempotency,
    Body(body): Body<IssueBody>,
) -> Result<Response, Problem> {
    let once = idempotency.request(&caller, "issue", &body)?;
    let verb = |backend| -> BoxFuture<'_, _> { Box::pin(new(&app, backend, &caller, &body)) };
    once::issue(&app, &caller, once.as_ref(), true, verb).await
}

async fn new(
    app: &App,
    backend: Arc<dyn Backend>,
    caller: &Caller,
    body: &IssueBody,
) -> Result<NewKey, Problem> {
    let template = match &body.template {
        Some(name) => Some(named(app, name).await?),
        None => None,
    };
    let request = request(body, template.as_ref())?;
    let issuer = Issuer::new(app.settings().format.clone())
        .with_peppers(backend.verifier().peppers().clone())
        .with_lifetimes(*backend.lifetimes());
    let own = caller.own();
    let independent = match caller.has_every_owner() && own.derived_from.is_none() {
        true => independent(caller, body, &issuer, &request)?,
        // Otherwise what was issued through a derived key would outlive that key's source.
        false => None,
    };
    let issued = if let Some(issued) = independent {
        match issued.record.remaining_uses {
            Some(uses) if own.remaining_uses.is_some() => {
                backend
                    .save_issued_taking(&issued, (own.lineage, uses))
                    .await?;
            }
            _ => backend.save_issued(&issued).await?,
        }
        issued
    } else {
        backend
            .delegate(&own.id, &issuer, &request, caller.now)
            .await?
    };
    let record = &issued.record;
    tracing::info!(key_id = record.id.as_str(), by = caller.id(), "issued");
    Ok(NewKey {
        key: issued.key.expose().to_owned(),
        key_id: record.id.to_string(),
        replaces: None,
        replaced_ends_at: None,
        record: KeyView::new(record, caller.now),
    })
}

/// An administrator's keys belong to others, and outlive a change of administrators: they get no
/// more than the caller has, and derive from none. `None` is a key that has to derive from the
/// caller's: one of the same owner that may call this API, or else the holder of a leaked key
/// could keep its rights after that is revoked.
fn independent(
    caller: &Caller,
    body: &IssueBody,
    issuer: &Issuer,
    request: &IssueRequest,
) -> Result<Option<Issued>, Problem> {
    let source = caller.source(body.owner.as_deref(), body.environment.as_deref())?;
    let mut issued = issuer.delegate(&source, request, &mut SysRng, caller.now)?;
    issued.record.derived_from = None;
    let (own, record) = (caller.own(), &issued.record);
    let any = [READ, WRITE, RENEW, EVERY_OWNER];
    let manages = any.iter().any(|right| record.permissions.grants(right));
    let is_same = record.owner == own.owner && record.environment == own.environment;
    match (manages, is_same) {
        (true, true) => Ok(None),
        (true, false) if record.permissions.grants(EVERY_OWNER) => Err(Problem::exceeds(
            "A key with keystile:owners:any derives from the caller's, so it must have the same \
             owner and environment.",
        )),
        _ => Ok(Some(issued)),
    }
}

fn request(body: &IssueBody, template: Option<&StoredTemplate>) -> Result<IssueRequest, Problem> {
    if body.client_name.trim().is_empty() {
        return Err(Problem::invalid("client_name must not be blank."));
    }
    if body.owner.as_deref() == Some("") {
        return Err(Problem::invalid("owner must be 1 to 255 bytes."));
    }
    let metadata = body.metadata.as_ref().map(Value::to_string);
    let mut listed = body
        .permissions
        .iter()
        .chain(&body.allowed_endpoints)
        .flatten();
    listed.try_for_each(|text| without_key(text).map(drop))?;
    let mut request = IssueRequest::new(without_key(&body.client_name)?)?
        .email(checked(&body.client_email)?)?
        .owner(checked(&body.owner)?)?
        .environment(body.environment.as_deref())?
        .rate_limit(body.rate_limit.map(Rate::limit).transpose()?)
        .uses(body.uses)?
        .metadata(checked(&metadata)?)?;
    if let Some(template) = template {
        request = template.request(request)?;
    }
    request.permissions = body
        .permissions
        .as_ref()
        .map(PermissionSet::new)
        .transpose()?;
    request.endpoints = body
        .allowed_endpoints
        .as_ref()
        .map(EndpointRules::new)
        .transpose()?;
    request.networks = body
        .allowed_networks
        .as_ref()
        .map(Networks::new)
        .transpose()?;
    match (body.expires_in_seconds, body.never_expires) {
        (Some(_), true) => Err(Problem::invalid(
            "expires_in_seconds and never_expires must not both be set.",
        )),
        (None, true) => Ok(request.never_expires()),
        (None, false) => Ok(request),
        (Some(seconds), false) => Ok(request.expires_in(millis(seconds)?)?),
    }
}

fn checked(text: &Option<String>) -> Result<Option<&str>, Problem> {
    text.as_deref().map(without_key).transpose()
}

/// Converts seconds to milliseconds.
pub(crate) fn millis(seconds: u64) -> Result<Millis, Problem> {
    let millis = seconds.checked_mul(1_000).map(Millis::new);
    millis.ok_or_else(|| Problem::invalid("A time in seconds must end before the year 10000."))
}
