//! Who calls the admin API, and what that key may see and give.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request as HttpRequest, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use keystile::{Decision, KeyRecord, Millis, Request, Requirement, RotationPolicy, UnixMillis};
use keystile_store::Filter;

use crate::app::App;
use crate::peer;
use crate::problem::{Problem, put};
use keystile::allowed_headers;

/// Permits reading records, events and plans.
pub(crate) const READ: &str = "keystile:keys:read";
/// Permits issuing, rotating, suspending, resuming and revoking keys.
pub(crate) const WRITE: &str = "keystile:keys:write";
/// Permits this for the keys of every owner and environment.
pub(crate) const EVERY_OWNER: &str = "keystile:owners:any";

/// The key that a request was let in by.
#[derive(Clone)]
pub(crate) struct Caller {
    record: Arc<KeyRecord>,
    pub(crate) now: UnixMillis,
}

/// Lets a request in that carries a key with the permission for its method: to read for
/// `GET`, to write for all else. What is routed through here needs no guard of its own.
pub(crate) async fn guard(State(app): State<App>, request: HttpRequest, next: Next) -> Response {
    match admit(&app, request).await {
        Ok((request, headers)) => {
            let mut response = next.run(request).await;
            put(&mut response, headers);
            response
        }
        Err(response) => *response,
    }
}

type Admitted = (HttpRequest, Vec<(&'static str, String)>);

async fn admit(app: &App, mut request: HttpRequest) -> Result<Admitted, Box<Response>> {
    let needed = if request.method().is_safe() {
        READ
    } else {
        WRITE
    };
    let refuse = |problem: Problem| Box::new(problem.into_response());
    let requirement = Requirement::parse(needed).map_err(|error| refuse(error.into()))?;
    let (extensions, headers) = (request.extensions(), request.headers());
    let trusted = &app.settings.trusted_proxies;
    let address = peer::client(extensions, headers, trusted);
    let asked = Request::new()
        .requires(&requirement)
        .endpoint(request.method().as_str(), request.uri().path());
    let judged = app.judge("admin", headers, asked, address).await;
    let judged = judged.map_err(refuse)?;
    match (judged.decision, judged.record) {
        (Decision::Allow(allowed), Some(record)) => {
            let headers = allowed_headers(&allowed, judged.now);
            let now = judged.now;
            request.extensions_mut().insert(Caller { record, now });
            Ok((request, headers))
        }
        (Decision::Deny(denial), _) => {
            let refusal = app.refuse(&denial, judged.wait, Some(&requirement));
            Err(Box::new(refusal))
        }
        (Decision::Allow(_), None) => Err(refuse(Problem::unavailable(
            "The record of the caller's key is unavailable.",
        ))),
    }
}

impl Caller {
    /// Its id, for the log.
    pub(crate) fn id(&self) -> &str {
        self.record.id.as_str()
    }

    fn has_every_owner(&self) -> bool {
        self.record.permissions.grants(EVERY_OWNER)
    }

    /// Whether a key is one that it may know of: one of its own owner, unless it may know
    /// of all.
    pub(crate) fn sees(&self, record: &KeyRecord) -> bool {
        self.has_every_owner() || self.record.owner == record.owner
    }

    /// The record, if it may know of it; else there is none.
    pub(crate) fn seen(&self, record: KeyRecord) -> Result<KeyRecord, Problem> {
        if self.sees(&record) {
            Ok(record)
        } else {
            Err(Problem::not_found())
        }
    }

    /// Refuses what shows the keys of every owner, such as all events.
    pub(crate) fn may_see_all(&self) -> Result<(), Problem> {
        if self.has_every_owner() {
            Ok(())
        } else {
            Err(Problem::exceeds(
                "Listing the keys of all owners requires keystile:owners:any.",
            ))
        }
    }

    /// The owner whose keys a list is to show.
    pub(crate) fn restrict(&self, filter: &mut Filter) -> Result<(), Problem> {
        if self.has_every_owner() {
            return Ok(());
        }
        match (&self.record.owner, &filter.owner) {
            (Some(own), None) => filter.owner = Some(own.clone()),
            (Some(own), Some(asked)) if own == asked => {}
            // Keys without an owner cannot be asked for as such: what is read is sifted.
            (None, None) => {}
            _ => {
                return Err(Problem::exceeds(
                    "Access to the keys of another owner requires keystile:owners:any.",
                ));
            }
        }
        Ok(())
    }

    /// The record that keys are derived from for this caller. Who may do so for every owner
    /// gives a key the owner and the environment that are asked for.
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

    /// How long a successor lives unless it is said: 90 days, or as long as the caller.
    pub(crate) fn longest(&self) -> Millis {
        let usual = RotationPolicy::default().max_age();
        self.record
            .ends_at()
            .map_or(usual, |end| usual.min(end.since(self.now)))
    }

    /// Refuses to hand out or resume a key that may do more than the caller's own, P4.
    ///
    /// `lifetime` is that of a successor which is yet to be made.
    pub(crate) fn covers(
        &self,
        record: &KeyRecord,
        lifetime: Option<Millis>,
    ) -> Result<(), Problem> {
        if record.id == self.record.id {
            return Ok(());
        }
        let mut source = KeyRecord::clone(&self.record);
        if self.has_every_owner() {
            source.owner.clone_from(&record.owner);
            source.environment = record.environment;
        }
        let mut given = record.clone();
        if let Some(lifetime) = lifetime {
            given.expires_at = Some(self.now.plus(lifetime)?);
        }
        if given.is_within(&source) {
            Ok(())
        } else {
            Err(Problem::exceeds(
                "The key may do more than the caller's own.",
            ))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only the guard puts one there: a route that forgot it serves nobody.
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
