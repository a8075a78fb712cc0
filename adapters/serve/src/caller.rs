//! Who calls the admin API, and what that key may see and give.

use core::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request as HttpRequest, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use keystile::{
    By, DerivedFrom, KeyRecord, Millis, Request, Requirement, RotationPolicy, ScopeTemplate,
    UnixMillis,
};
use keystile_http::ResponseHeaders;
use keystile_store::{CorruptRow, Cursor, Filter, StoreError};

use crate::app::App;
use crate::client::client;
use crate::damage_view::DamageView;
use crate::problem::Problem;

/// Permits reading records, events and plans.
pub(crate) const READ: &str = "keystile:keys:read";
/// Permits issuing, changing, rotating, suspending, resuming and revoking keys.
pub(crate) const WRITE: &str = "keystile:keys:write";
/// Permits rotating its own key for another life of the length that the key was given. Without
/// it, the successor ends when the key would have.
pub(crate) const RENEW: &str = "keystile:keys:renew";
/// Permits this for the keys of every owner and environment.
pub(crate) const EVERY_OWNER: &str = "keystile:owners:any";

/// The verified key of a request to the admin API.
#[derive(Clone)]
pub(crate) struct Caller {
    record: Arc<KeyRecord>,
    /// Where the request came from, as far as it is known.
    address: Option<IpAddr>,
    pub(crate) now: UnixMillis,
}

/// Admits a request if its key has the permission for its method: to read for `GET`, to write
/// for any other. Routes with this layer need no further check of the permission.
pub(crate) async fn guard(state: State<App>, request: HttpRequest, next: Next) -> Response {
    let needed = if request.method().is_safe() {
        READ
    } else {
        WRITE
    };
    guarded(&state, request, next, needed).await
}

/// Admits a request if its key has the permission to read, whatever its method: for questions
/// that are too long for a query.
pub(crate) async fn guard_reading(state: State<App>, request: HttpRequest, next: Next) -> Response {
    guarded(&state, request, next, READ).await
}

async fn guarded(app: &App, request: HttpRequest, next: Next, needed: &str) -> Response {
    match admit(app, request, needed).await {
        Ok((request, headers)) => {
            let mut response = next.run(request).await;
            headers.add_to(response.headers_mut());
            response
        }
        Err(response) => *response,
    }
}

type Admitted = (HttpRequest, ResponseHeaders);

async fn admit(
    app: &App,
    mut request: HttpRequest,
    needed: &str,
) -> Result<Admitted, Box<Response>> {
    let refuse = |problem: Problem| Box::new(problem.into_response());
    let requirement = Requirement::parse(needed).map_err(|error| refuse(error.into()))?;
    let (extensions, headers) = (request.extensions(), request.headers());
    let address = client(extensions, headers, &app.settings().trusted_proxies).address;
    let asked = Request::new()
        .requires(&requirement)
        .endpoint(request.method().as_str(), request.uri().path());
    let judged = app.judge("admin", headers, asked, address).await;
    let judged = judged.map_err(refuse)?;
    let now = judged.now;
    match judged.outcome {
        Ok(passed) => {
            let form = app.settings().responses.rate_limit_fields;
            let headers = ResponseHeaders::new(&passed.allowed, form, now);
            let record = passed.record;
            request.extensions_mut().insert(Caller {
                record,
                address,
                now,
            });
            Ok((request, headers))
        }
        Err(denied) => Err(Box::new(app.reject(&denied, Some(&requirement)))),
    }
}

impl Caller {
    /// Its id, for the log.
    pub(crate) fn id(&self) -> &str {
        self.record.id.as_str()
    }

    /// Who it is in events: its key, and the address of the client.
    pub(crate) fn by(&self, reason: Option<&str>) -> Result<By, Problem> {
        let mut by = By::key(&self.record.id);
        if let Some(address) = self.address {
            by = by.from_origin(&address.to_string())?;
        }
        match reason {
            Some(reason) => Ok(by.because(reason)?),
            None => Ok(by),
        }
    }

    pub(crate) fn has_every_owner(&self) -> bool {
        self.record.permissions.grants(EVERY_OWNER)
    }

    /// Whether the caller may see a key: one of its own owner, or any if it may see all.
    pub(crate) fn sees(&self, record: &KeyRecord) -> bool {
        self.has_every_owner() || self.record.owner == record.owner
    }

    /// Whether it may see a key or a damaged row, for a verb to ask about the state it replaces:
    /// a key that moved to another owner meanwhile is not changed.
    pub(crate) fn permit(&self) -> impl Fn(Result<&KeyRecord, &CorruptRow>) -> bool + Send + Sync {
        |found| match found {
            Ok(record) => self.sees(record),
            Err(row) => self.sees_damage(row),
        }
    }

    /// The record if the caller may see it, otherwise `not_found`.
    pub(crate) fn seen(&self, record: KeyRecord) -> Result<KeyRecord, Problem> {
        self.may_see(&record).map(|()| record)
    }

    /// Refuses with `not_found` what the caller may not see.
    pub(crate) fn may_see(&self, record: &KeyRecord) -> Result<(), Problem> {
        match self.sees(record) {
            true => Ok(()),
            false => Err(Problem::not_found()),
        }
    }

    /// Whether the caller may know of a damaged row. If the owner cannot be read, only callers
    /// that may see all.
    pub(crate) fn sees_damage(&self, damage: &CorruptRow) -> bool {
        let is_own = damage.owner.is_some() && self.record.owner == damage.owner;
        self.has_every_owner() || is_own
    }

    /// The record if the caller may see it, or the damage of its row, otherwise `not_found`.
    pub(crate) fn found(
        &self,
        found: Result<KeyRecord, StoreError>,
    ) -> Result<Result<KeyRecord, CorruptRow>, Problem> {
        match found {
            Ok(record) => self.seen(record).map(Ok),
            Err(StoreError::Corrupt(damage)) if self.sees_damage(&damage) => Ok(Err(damage)),
            Err(StoreError::Corrupt(_)) => Err(Problem::not_found()),
            Err(error) => Err(error.into()),
        }
    }

    /// The record if the caller may see it. If its row is damaged, the problem says where.
    pub(crate) fn readable(
        &self,
        found: Result<KeyRecord, StoreError>,
    ) -> Result<KeyRecord, Problem> {
        let found = self.found(found)?;
        found.map_err(|damage| Problem::damaged(&damage, self.has_every_owner()))
    }

    /// The damaged rows that the caller may know of.
    pub(crate) fn damage(&self, rows: &[CorruptRow]) -> Vec<DamageView> {
        let seen = rows.iter().filter(|row| self.sees_damage(row));
        seen.map(|row| self.damage_view(row)).collect()
    }

    /// A damaged row, without its number if the caller may not see all rows.
    pub(crate) fn damage_view(&self, row: &CorruptRow) -> DamageView {
        let view = DamageView::new(row);
        match self.has_every_owner() {
            true => view,
            false => view.without_row(),
        }
    }

    /// Whether this is the caller's own owner.
    pub(crate) fn owns(&self, owner: Option<&str>) -> bool {
        owner.is_some() && self.record.owner.as_deref() == owner
    }

    /// Refuses a caller that may not see the keys of every owner, as a list of all events does.
    pub(crate) fn may_see_all(&self) -> Result<(), Problem> {
        if self.has_every_owner() {
            Ok(())
        } else {
            Err(Problem::exceeds(
                "Listing the keys of all owners requires keystile:owners:any.",
            ))
        }
    }

    /// Refuses a caller that may not change templates, which are for the keys of all owners.
    pub(crate) fn may_change_templates(&self) -> Result<(), Problem> {
        if self.has_every_owner() {
            Ok(())
        } else {
            Err(Problem::exceeds(
                "Templates are for the keys of all owners: to change them requires \
                 keystile:owners:any.",
            ))
        }
    }

    /// Refuses a template that gives more than the caller's own key has, P4.
    pub(crate) fn holds(&self, template: &ScopeTemplate) -> Result<(), Problem> {
        let mut key = KeyRecord::clone(&self.record);
        key.permissions.clone_from(&template.permissions);
        key.allowed_endpoints
            .clone_from(&template.allowed_endpoints);
        key.rate_limit = template.rate_limit;
        if key.is_within(&self.record) {
            Ok(())
        } else {
            Err(Problem::exceeds(
                "The template may give no more than the caller's own key has.",
            ))
        }
    }

    /// Restricts a list to the keys that the caller may see.
    pub(crate) fn restrict(&self, filter: &mut Filter) -> Result<(), Problem> {
        if self.has_every_owner() {
            return Ok(());
        }
        match (&self.record.owner, &filter.owner) {
            (Some(own), None) => filter.owner = Some(own.clone()),
            (Some(own), Some(asked)) if own == asked => {}
            (None, None) => filter.without_owner = true,
            _ => {
                return Err(Problem::exceeds(
                    "Access to the keys of another owner requires keystile:owners:any.",
                ));
            }
        }
        Ok(())
    }

    /// Refuses a place in a list at a key that the caller may not see, as if there were none: the
    /// pages after it would tell that there is. A key that was removed still has its place.
    pub(crate) async fn may_start_after(&self, app: &App, cursor: &Cursor) -> Result<(), Problem> {
        if self.has_every_owner() {
            return Ok(());
        }
        let Some(id) = cursor.key_id() else {
            return Err(Problem::not_found());
        };
        match app.backend().record(id).await {
            Err(StoreError::NotFound) => Ok(()),
            found => self.found(found).map(drop),
        }
    }

    /// The record that the caller's new keys are derived from. If the caller may issue keys for
    /// every owner, it has the requested owner and environment.
    pub(crate) fn source(
        &self,
        owner: Option<&str>,
        environment: Option<&str>,
    ) -> Result<KeyRecord, Problem> {
        let mut source = KeyRecord::clone(&self.record);
        if self.has_every_owner() {
            source.owner = owner.map(Box::from);
            source.environment = environment.map(keystile::Environment::new).transpose()?;
        }
        Ok(source)
    }

    /// Its own key, with the uses that it had.
    pub(crate) fn own(&self) -> &KeyRecord {
        &self.record
    }

    /// The policy of a rotation for which the caller asks: no key outlives the caller's own, and
    /// its own gets no more life than it has, unless it may renew it.
    pub(crate) fn rotation(
        &self,
        record: &KeyRecord,
        asked: Option<Millis>,
        policy: RotationPolicy,
    ) -> Result<RotationPolicy, Problem> {
        let is_own = record.id == self.record.id;
        let renews = is_own && record.permissions.grants(RENEW);
        // Of its own key the record as it is now, since that of the caller may be cached.
        let end = match is_own {
            true => record.ends_at(),
            false => self.record.ends_at(),
        };
        let most = match renews {
            true => record.lifetime_given(),
            false => end.map(|end| end.since(self.now)),
        };
        let policy = match asked {
            None => policy,
            Some(lifetime) if most.is_none_or(|most| lifetime <= most) => {
                policy.with_lifetime(lifetime)?
            }
            Some(_) if renews => {
                return Err(Problem::exceeds(
                    "A key can be renewed for the lifetime that it was given, and not for longer.",
                ));
            }
            Some(_) => {
                return Err(Problem::exceeds(
                    "A rotation gives no more life than the caller's key has; only \
                     keystile:keys:renew renews the caller's own key.",
                ));
            }
        };
        // A derived key ends with its source too, which the store knows.
        Ok(match (renews, end) {
            (false, Some(end)) => policy.with_latest_end(Some(end)),
            _ => policy,
        })
    }

    /// Refuses to hand out or resume a key that may do more than the caller's own, P4.
    pub(crate) fn covers(&self, record: &KeyRecord) -> Result<(), Problem> {
        if record.id == self.record.id {
            return Ok(());
        }
        let mut source = KeyRecord::clone(&self.record);
        if self.has_every_owner() {
            source.owner.clone_from(&record.owner);
            source.environment = record.environment;
        }
        if record.is_within(&source) {
            Ok(())
        } else {
            Err(Problem::exceeds(
                "The key may do more than the caller's own.",
            ))
        }
    }
}

impl Caller {
    /// Refuses a change of a key that may do more than the caller's own, before the change or
    /// after it, P4. Its own key may get less, and never more.
    pub(crate) fn may_change(&self, before: &KeyRecord, after: &KeyRecord) -> Result<(), Problem> {
        if !self.sees(before) {
            return Err(Problem::not_found());
        }
        // The record as it is now, since that of the caller may be cached.
        let own = before.id == self.record.id;
        let mut source = if own { before } else { &*self.record }.clone();
        for (key, problem) in [
            (before, "The key may do more than the caller's own."),
            (
                after,
                "A change must give no more than the caller's own key has.",
            ),
        ] {
            if self.has_every_owner() {
                source.owner.clone_from(&key.owner);
                source.environment = key.environment;
            }
            if !key.is_within(&source) {
                return Err(Problem::exceeds(problem));
            }
        }
        // What its own derived keys get is taken off its own uses; that of others off no one's.
        let is_derived = |from: DerivedFrom| from.lineage == self.record.lineage;
        if !own
            && self.record.remaining_uses.is_some()
            && after.remaining_uses > before.remaining_uses
            && !before.derived_from.is_some_and(is_derived)
        {
            return Err(Problem::exceeds(
                "A caller whose uses are counted gives more uses only to keys that derive from \
                 its own.",
            ));
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only the guard inserts a caller, so a route without it refuses every request.
        parts.extensions.get().cloned().ok_or_else(|| {
            Problem::new(
                http::StatusCode::FORBIDDEN,
                "Not guarded",
                "not_guarded",
                "This route has no access check and so refuses every request.",
            )
        })
    }
}
