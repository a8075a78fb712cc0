//! What all routes share, and how each of them decides about the key of its request.

use core::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use keystile::{CredentialSources, DenialCode, Request, Requirement, UnixMillis};
use keystile_http::{Denied, ErrorChain, Gate, Passed, RequestContext};
use keystile_store::StoreError;

use crate::backend::{Backend, Checker};
use crate::caller::Caller;
use crate::carried;
use crate::failed_response::LoggedElsewhere;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// What all routes share.
#[derive(Clone)]
pub(crate) struct App {
    shared: Arc<Shared>,
}

struct Shared {
    backend: Arc<dyn Backend>,
    settings: Settings,
    telemetry: Telemetry,
    gate: Gate<Checker>,
}

/// A decision, and the reading of the clock that it was made by.
pub(crate) struct Judged {
    pub(crate) outcome: Result<Passed, Denied>,
    pub(crate) now: UnixMillis,
}

impl App {
    pub(crate) fn new(backend: Arc<dyn Backend>, settings: Settings) -> Self {
        let checker = Checker(Arc::clone(&backend));
        let gate = Gate::new(checker)
            .with_sources(settings.sources.clone())
            .with_invalid_key_limit(settings.invalid_keys);
        Self {
            shared: Arc::new(Shared {
                telemetry: Telemetry::new(Arc::clone(&backend)),
                backend,
                gate,
                settings,
            }),
        }
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.shared.backend
    }

    /// The backend for what a caller does, and why it does so.
    pub(crate) fn acting_as(
        &self,
        caller: &Caller,
        reason: Option<&str>,
    ) -> Result<Arc<dyn Backend>, Problem> {
        Ok(self.backend().acting_as(caller.by(reason)?))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.shared.telemetry
    }

    /// Decides about the key in the headers. `route` names the caller in the metrics;
    /// `address` is that of the client whose key it is, as far as it is known.
    pub(crate) async fn judge(
        &self,
        route: &'static str,
        headers: &HeaderMap,
        request: Request<'_>,
        address: Option<IpAddr>,
    ) -> Result<Judged, Problem> {
        let (start, now) = (Instant::now(), now()?);
        let context = RequestContext::new(headers, request, address, now);
        // Boxed: the compiler cannot see that the bare future is `Send` in every handler.
        let check: BoxFuture<'_, _> = Box::pin(self.shared.gate.check(&context));
        Ok(self.judged(route, check.await, start, now))
    }

    /// Decides whether the key in the headers is valid, for its holder: nothing is spent, and no
    /// endpoint rule is checked.
    pub(crate) async fn judge_own(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<Judged, Problem> {
        let (start, now) = (Instant::now(), now()?);
        let context = RequestContext::new(headers, Request::new(), address, now);
        let check: BoxFuture<'_, _> =
            Box::pin(self.shared.gate.check_by(&context, |checker, credential| {
                Box::pin(async move {
                    let request = Request::new().address(address);
                    checker
                        .0
                        .own_key(credential.as_bytes(), &request, now)
                        .await
                })
            }));
        Ok(self.judged("self", check.await, start, now))
    }

    /// Counts and logs a decision.
    fn judged(
        &self,
        route: &'static str,
        outcome: Result<Passed, Denied>,
        start: Instant,
        now: UnixMillis,
    ) -> Judged {
        let code = outcome.as_ref().map_or_else(Denied::code, |_| "allowed");
        self.telemetry().decided(route, code, start.elapsed());
        log(route, code, &outcome);
        Judged { outcome, now }
    }

    /// The headers of a request that was allowed, without those that carried its key or hide
    /// one.
    pub(crate) fn without_key(&self, headers: &HeaderMap, passed: &Passed) -> HeaderMap {
        let mut left = headers.clone();
        let credentials = self.shared.gate.credentials();
        credentials.remove(&mut left, passed.carriers);
        let key = credentials.extract(headers).ok();
        let key = key
            .as_ref()
            .map(|key| String::from_utf8_lossy(key.as_bytes()));
        let key = key.unwrap_or_default();
        carried::remove_hidden(credentials.sources(), &key, &mut left);
        left
    }

    /// What keys are read from.
    pub(crate) fn sources(&self) -> &CredentialSources {
        self.shared.gate.credentials().sources()
    }

    /// The response to a request that was denied by its own key.
    pub(crate) fn reject(&self, denied: &Denied, requirement: Option<&Requirement>) -> Response {
        let rejection = denied.rejection(self.settings().responses, requirement);
        let rejection = rejection.with_sources(self.sources());
        let mut response = rejection.into_response();
        if denied.denial().code() == DenialCode::RecordDamaged {
            response.extensions_mut().insert(LoggedElsewhere);
        }
        response
    }
}

fn now() -> Result<UnixMillis, Problem> {
    UnixMillis::now().map_err(|_| Problem::unavailable("The server's clock is out of range."))
}

fn log(route: &'static str, code: &'static str, outcome: &Result<Passed, Denied>) {
    match outcome {
        Ok(passed) => {
            let key_id = passed.allowed.key_id.as_str();
            tracing::debug!(route, code, key_id, "decided");
        }
        Err(denied) => {
            match denied.failure() {
                Some(StoreError::Corrupt(damage)) => {
                    tracing::error!(%damage, "a row of the key store is damaged");
                }
                Some(failure) => {
                    let failure = ErrorChain(failure);
                    tracing::warn!(%failure, "the key store is unavailable");
                }
                None => {}
            }
            let denial = denied.denial();
            let (cause, key_id) = (denial.cause(), denial.key_id().map(|id| id.as_str()));
            tracing::debug!(route, code, ?cause, key_id, "decided");
        }
    }
}
