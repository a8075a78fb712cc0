//! Decisions and the HTTP responses to them.

use core::net::IpAddr;
use std::collections::BTreeMap;

use keystile::{
    Allowed, Cause, CredentialExtractor, CredentialSources, Decision, Denial, Environment,
    KeyRecord, Millis, Quota, RateLimitFields, RateState, Request, Requirement, ResponsePolicy,
    StatusPolicy, UnixMillis, Usage, Verifier, allowed_headers, respond, verify,
};
use serde::Deserialize;
use serde_json::Value;

use crate::vectors::case::replay;
use crate::vectors::form::{Format, PepperForm, ring, snake, unhex};
use crate::vectors::presented::Rules;

/// Everything that a decision depends on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scene {
    formats: Vec<Format>,
    peppers: Vec<Option<PepperForm>>,
    key: String,
    pub(super) record: Option<KeyRecord>,
    usage: UsageForm,
    request: RequestForm,
    pub(super) now: UnixMillis,
}

/// What the lineage has spent: the instants of the requests that its limit has admitted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageForm {
    admitted_at: Vec<UnixMillis>,
    remaining: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestForm {
    requires: Option<Requirement>,
    method: Option<String>,
    path: Option<String>,
    path_hex: Option<String>,
    address: Option<IpAddr>,
    environment: Option<Environment>,
}

impl Scene {
    pub(super) fn usage(&self) -> Usage {
        let limit = self.record.as_ref().and_then(|record| record.rate_limit);
        let state = self
            .usage
            .admitted_at
            .iter()
            .fold(RateState::default(), |state, &at| {
                limit.unwrap().admit(state, at).unwrap()
            });
        Usage::new(state, self.usage.remaining)
    }

    pub(super) fn verifier(&self) -> Verifier {
        let (first, others) = self.formats.split_first().unwrap();
        others
            .iter()
            .fold(Verifier::new(first.made()), |verifier, format| {
                verifier.with_format(format.made())
            })
            .with_peppers(ring(&self.peppers).unwrap())
    }

    /// Calls a function with the request.
    pub(super) fn ask<T>(&self, name: &str, work: impl FnOnce(&Request<'_>) -> T) -> T {
        let raw_path = self.request.path_hex.as_deref().map(unhex);
        let mut request = Request::new();
        request = request.requires(&self.request.requires);
        request = match (&self.request.method, &self.request.path, &raw_path) {
            (None, None, None) => request,
            (Some(method), Some(path), None) => request.endpoint(method, path),
            (Some(method), None, Some(path)) => request.endpoint_bytes(method.as_bytes(), path),
            _ => panic!("{name}: a method and a path, or neither"),
        };
        request = request
            .address(self.request.address)
            .environment(&self.request.environment);
        work(&request)
    }

    pub(super) fn decide(&self, name: &str) -> Decision {
        self.ask(name, |request| self.decide_on(name, request))
    }

    fn decide_on(&self, name: &str, request: &Request<'_>) -> Decision {
        let verifier = self.verifier();
        let key = match verifier.parse(self.key.as_bytes()) {
            Ok(key) => key,
            Err(denial) => return Decision::Deny(denial),
        };
        let record = self.record.as_ref();
        let mut usage = self.usage();
        let decision = verify(&verifier, &key, record, request, &mut usage, self.now);
        match &decision {
            Decision::Deny(_) => assert_eq!(usage, self.usage(), "{name}: a denial spends nothing"),
            Decision::Allow(allowed) => {
                assert_eq!(usage.remaining, allowed.remaining_uses, "{name}");
                let limit = record.unwrap().rate_limit;
                let quota = limit.map(|limit| limit.quota(usage.rate, self.now));
                assert_eq!(
                    allowed.quota, quota,
                    "{name}: what was told is what is kept"
                );
            }
        }
        decision
    }
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "decision", rename_all = "snake_case", deny_unknown_fields)]
enum Expected {
    Allow {
        key_id: String,
        lineage: String,
        remaining_uses: Option<u64>,
        quota: Option<QuotaForm>,
        notice: Option<NoticeForm>,
        ends_overlap_of: Option<String>,
        needs_rehash: bool,
    },
    Deny {
        code: String,
        cause: String,
        key_id: Option<String>,
        missing: Vec<String>,
        quota: Option<QuotaForm>,
    },
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct QuotaForm {
    remaining: u32,
    reset_ms: u64,
    retry_after_ms: Option<u64>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct NoticeForm {
    replaced_by: String,
    until: UnixMillis,
}

impl Expected {
    fn of(decision: &Decision, requirement: Option<&Requirement>) -> Self {
        match decision {
            Decision::Allow(allowed) => Self::allow(allowed),
            Decision::Deny(denial) => Self::deny(denial, requirement),
        }
    }

    fn allow(allowed: &Allowed) -> Self {
        Self::Allow {
            key_id: allowed.key_id.to_string(),
            lineage: allowed.lineage.to_string(),
            remaining_uses: allowed.remaining_uses,
            quota: allowed.quota.as_ref().map(QuotaForm::of),
            notice: allowed.notice.map(|notice| NoticeForm {
                replaced_by: notice.replaced_by.to_string(),
                until: notice.until,
            }),
            ends_overlap_of: allowed.ends_overlap_of.map(|id| id.to_string()),
            needs_rehash: allowed.needs_rehash,
        }
    }

    fn deny(denial: &Denial, requirement: Option<&Requirement>) -> Self {
        Self::Deny {
            code: denial.code().as_str().to_owned(),
            cause: snake(denial.cause()),
            key_id: denial.key_id().map(ToString::to_string),
            missing: requirement
                .into_iter()
                .flat_map(|asked| denial.missing(asked))
                .map(str::to_owned)
                .collect(),
            quota: denial.quota().map(QuotaForm::of),
        }
    }
}

impl QuotaForm {
    fn of(quota: &Quota) -> Self {
        Self {
            remaining: quota.remaining(),
            reset_ms: quota.reset().get(),
            retry_after_ms: quota.retry_after().map(Millis::get),
        }
    }
}

#[test]
fn decisions() {
    replay("decisions.json", |name, scene: Scene| {
        Expected::of(&scene.decide(name), scene.request.requires.as_ref())
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseInput {
    policy: String,
    fields: String,
    rules: Option<Rules>,
    cause: Option<String>,
    scene: Option<Scene>,
}

#[derive(Deserialize, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    code: Option<String>,
    missing: Vec<String>,
}

const CAUSES: [Cause; 20] = [
    Cause::MissingCredential,
    Cause::ConflictingCredentials,
    Cause::Malformed,
    Cause::Alien,
    Cause::UnknownKey,
    Cause::WrongSecret,
    Cause::PepperUnavailable,
    Cause::Revoked,
    Cause::Suspended,
    Cause::Expired,
    Cause::Replaced,
    Cause::Environment,
    Cause::Network,
    Cause::PathNotCanonical,
    Cause::Endpoint,
    Cause::Permission,
    Cause::RateLimit,
    Cause::UsesSpent,
    Cause::StoreUnavailable,
    Cause::RecordDamaged,
];

#[test]
fn responses() {
    replay("responses.json", |name, input: ResponseInput| {
        let status = match input.policy.as_str() {
            "rfc9110" => StatusPolicy::Rfc9110,
            "express" => StatusPolicy::Express,
            other => panic!("{name}: no such policy: {other}"),
        };
        let form = RateLimitFields::from_name(&input.fields).unwrap();
        let policy = ResponsePolicy::new(status, form);
        let (decision, requirement) = match (&input.cause, &input.scene) {
            (Some(cause), None) => {
                let cause = CAUSES.into_iter().find(|own| snake(own) == *cause).unwrap();
                (Decision::Deny(Denial::new(cause)), None)
            }
            (None, Some(scene)) => (scene.decide(name), scene.request.requires.as_ref()),
            _ => panic!("{name}: a cause or a scene"),
        };
        match &decision {
            Decision::Allow(allowed) => Answer {
                headers: fields(allowed_headers(allowed, form, input.scene.unwrap().now)),
                ..Answer::default()
            },
            Decision::Deny(denial) => {
                let rules = input.rules.as_ref().map(Rules::made);
                let sources = rules.as_ref().map(CredentialExtractor::sources);
                answer(name, denial, policy, requirement, sources)
            }
        }
    });
}

fn answer(
    name: &str,
    denial: &Denial,
    policy: ResponsePolicy,
    requirement: Option<&Requirement>,
    sources: Option<&CredentialSources>,
) -> Answer {
    let response = respond(denial, policy, requirement);
    let response = match sources {
        Some(sources) => response.with_sources(sources),
        None => response,
    };
    let Value::Object(mut body) = serde_json::from_str(&response.body).unwrap() else {
        panic!("{name}: a body is an object");
    };
    for text in ["error", "message"] {
        let said = body.remove(text).unwrap();
        assert!(!said.as_str().unwrap().is_empty(), "{name}, {text}");
    }
    let code = body.remove("code").unwrap();
    let missing = match body.remove("missing") {
        None => Vec::new(),
        Some(missing) => serde_json::from_value(missing).unwrap(),
    };
    assert!(body.is_empty(), "{name}: {body:?}");
    Answer {
        status: Some(response.status),
        headers: fields(response.headers),
        code: code.as_str().map(str::to_owned),
        missing,
    }
}

/// Header fields by name; no name appears twice.
fn fields(headers: Vec<(&'static str, String)>) -> BTreeMap<String, String> {
    let count = headers.len();
    let fields: BTreeMap<String, String> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(fields.len(), count);
    fields
}
