//! What all routes share, and the one way to a decision.

use core::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use keystile::{
    Cause, CredentialExtractor, Decision, Denial, DenialCode, KeyRecord, Millis, Request,
    Requirement, UnixMillis,
};

use crate::backend::Backend;
use crate::clock;
use crate::invalid_keys::InvalidKeys;
use crate::problem::{Problem, TOO_MANY_INVALID_KEYS, refused, too_many_invalid_keys};
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// What all routes share.
#[derive(Clone)]
pub(crate) struct App {
    own: Arc<Own>,
}

pub(crate) struct Own {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) settings: Settings,
    pub(crate) telemetry: Telemetry,
    rules: CredentialExtractor,
    invalid_keys: InvalidKeys,
}

/// A decision, whose key it was made on, and when.
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// Of a key that was allowed.
    pub(crate) record: Option<Arc<KeyRecord>>,
    /// Of an invalid key, where too many came from its address: how long until one more
    /// would be taken.
    pub(crate) wait: Option<Millis>,
    pub(crate) now: UnixMillis,
}

impl App {
    pub(crate) fn new(backend: Arc<dyn Backend>, settings: Settings) -> Self {
        Self {
            own: Arc::new(Own {
                telemetry: Telemetry::new(Arc::clone(&backend)),
                backend,
                invalid_keys: InvalidKeys::new(settings.invalid_keys),
                settings,
                rules: CredentialExtractor::new(),
            }),
        }
    }

    /// Reads the key from the headers and decides about it. `route` names who asks, for
    /// the numbers; `address` is that of the client whose key it is, as far as is known.
    pub(crate) async fn judge(
        &self,
        route: &'static str,
        headers: &HeaderMap,
        request: Request<'_>,
        address: Option<IpAddr>,
    ) -> Result<Judged, Problem> {
        let start = Instant::now();
        let now = now()?;
        let request = request.address(address);
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let (decision, record) = match self.rules.extract(fields) {
            Err(denial) => (Decision::Deny(denial), None),
            Ok(credential) => {
                self.check(credential.as_bytes(), &request, address, now)
                    .await
            }
        };
        let denial = decision.denial();
        let wait = denial.and_then(|denial| self.invalid_keys.count(denial, address, now));
        let code = match wait {
            Some(_) => TOO_MANY_INVALID_KEYS,
            None => denial.map_or("allowed", |denial| denial.code().as_str()),
        };
        self.telemetry.decided(route, code, start.elapsed());
        match &decision {
            Decision::Allow(allowed) => {
                tracing::debug!(route, code, key_id = allowed.key_id.as_str(), "decided");
            }
            Decision::Deny(denial) => {
                let (cause, key_id) = (denial.cause(), denial.key_id().map(|id| id.as_str()));
                tracing::debug!(route, code, ?cause, key_id, "decided");
            }
        }
        Ok(Judged {
            decision,
            record,
            wait,
            now,
        })
    }

    /// The decision about a key; of one that was allowed, its record too. What memory knows
    /// is told at once: the way to the store alone is narrow for who guessed too often.
    async fn check(
        &self,
        key: &[u8],
        request: &Request<'_>,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) -> (Decision, Option<Arc<KeyRecord>>) {
        let answer = match self.backend.try_check(key, request, now) {
            Ok(answer) => answer,
            Err(pending) => {
                let settled = self.backend.check_pending(pending, key, request, now);
                let Some(answer) = self.invalid_keys.pace(address, now, settled).await else {
                    return (Decision::Deny(Denial::new(Cause::StoreUnavailable)), None);
                };
                answer
            }
        };
        if let Some(failure) = &answer.failure {
            let failure = crate::problem::Causes(&**failure);
            tracing::warn!(%failure, "the store cannot be asked");
        }
        (answer.decision, answer.record)
    }

    /// The response to a request whose own key was refused. `wait`: as it was judged.
    pub(crate) fn refuse(
        &self,
        denial: &Denial,
        wait: Option<Millis>,
        requirement: Option<&Requirement>,
    ) -> Response {
        if let Some(wait) = wait {
            return too_many_invalid_keys(wait);
        }
        let policy = self.settings.status_policy;
        if denial.code() == DenialCode::StoreUnavailable {
            return unreachable_store().into_response();
        }
        refused(denial, policy, requirement)
    }
}

impl core::ops::Deref for App {
    type Target = Own;

    fn deref(&self) -> &Own {
        &self.own
    }
}

/// The present instant.
pub(crate) fn now() -> Result<UnixMillis, Problem> {
    clock::now().ok_or_else(|| Problem::unavailable("The clock of this machine is far off."))
}

fn unreachable_store() -> Problem {
    let denial = Denial::new(Cause::StoreUnavailable);
    Problem::new(
        http::StatusCode::SERVICE_UNAVAILABLE,
        denial.code().title(),
        denial.code().as_str(),
        denial.code().message(),
    )
}
