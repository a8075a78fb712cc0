//! What all routes share, and the one way to a decision.

use std::sync::Arc;
use std::time::Instant;

use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use keystile::{
    Cause, CredentialRules, Decision, Denial, DenialCode, KeyRecord, Request, Requirement,
    UnixMillis,
};

use crate::backend::Backend;
use crate::clock;
use crate::problem::{Problem, refused};
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
    rules: CredentialRules,
}

/// A decision, whose key it was made on, and when.
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// Of a key that was allowed.
    pub(crate) record: Option<Arc<KeyRecord>>,
    pub(crate) now: UnixMillis,
}

impl App {
    pub(crate) fn new(backend: Arc<dyn Backend>, settings: Settings) -> Self {
        Self {
            own: Arc::new(Own {
                telemetry: Telemetry::new(Arc::clone(&backend)),
                backend,
                settings,
                rules: CredentialRules::new(),
            }),
        }
    }

    /// Reads the key from the headers and decides about it. `route` names who asks, for
    /// the numbers.
    pub(crate) async fn judge(
        &self,
        route: &'static str,
        headers: &HeaderMap,
        request: &Request<'_>,
    ) -> Result<Judged, Problem> {
        let start = Instant::now();
        let now = now()?;
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let (decision, record) = match self.rules.extract(fields) {
            Err(denial) => (Decision::Deny(denial), None),
            Ok(credential) => {
                let key = credential.as_bytes();
                let answer = self.backend.check(key, request, now).await;
                if let Some(failure) = &answer.failure {
                    let failure = crate::problem::Causes(&**failure);
                    tracing::warn!(%failure, "the store cannot be asked");
                }
                (answer.decision, answer.record)
            }
        };
        let code = decision.denial().map_or("allowed", |d| d.code().as_str());
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
            now,
        })
    }

    /// The response to a request whose own key was refused.
    pub(crate) fn refuse(&self, denial: &Denial, requirement: Option<&Requirement>) -> Response {
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
