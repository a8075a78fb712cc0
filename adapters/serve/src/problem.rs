//! An error as JSON: `error`, `message` and a stable `code`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use keystile::ErrorKind;
use keystile_http::ErrorChain;
use keystile_store::{CorruptRow, DerivedProblem, StoreError, TemplateProblem};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// Why a request was not carried out. No text of it repeats the input.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A short name for people.
    error: &'static str,
    /// What was expected.
    message: String,
    /// The stable name.
    code: &'static str,
    /// Permissions that the caller's key lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    missing: Vec<String>,
    #[serde(skip)]
    status: StatusCode,
    /// Of a template that was changed meanwhile.
    #[serde(skip)]
    is_of_template: bool,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        error: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            error,
            message: message.into(),
            code,
            missing: Vec::new(),
            status,
            is_of_template: false,
        }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether a change of many keys ends with it: it says something about the others too.
    pub(crate) fn ends_many(&self) -> bool {
        self.is_of_template || self.status == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The same after a call has changed so many keys, if these are worth nothing without the rest.
    pub(crate) fn after_changes(self, count: usize) -> Option<Self> {
        let keys = if count == 1 { "key" } else { "keys" };
        self.is_of_template.then(|| Self {
            message: format!(
                "The template was modified concurrently, after this call had changed {count} {keys}; \
                 start again from the first key."
            ),
            ..self
        })
    }

    /// What was expected, for one key of many.
    pub(crate) fn into_message(self) -> String {
        self.message
    }

    /// The request itself cannot be read.
    pub(crate) fn malformed(expected: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "Malformed request",
            "malformed",
            expected,
        )
    }

    /// The request can be read, but has an invalid value.
    pub(crate) fn invalid(expected: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid value",
            "invalid",
            expected,
        )
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Not found",
            "not_found",
            "There is no key with this id.",
        )
    }

    pub(crate) fn no_template() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Not found",
            "not_found",
            "There is no template with this name.",
        )
    }

    /// The caller may not give or see this much.
    pub(crate) fn exceeds(message: &'static str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "More than the caller holds",
            "exceeds",
            message,
        )
    }

    /// The stored record of a key cannot be read. The number of its row is only for callers that
    /// may see all rows: it tells how many there are.
    pub(crate) fn damaged(damage: &CorruptRow, has_every_owner: bool) -> Self {
        let place = match has_every_owner {
            true => format!("row {}, ", damage.row),
            false => String::new(),
        };
        let (column, expected) = (damage.column, damage.expected);
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Key record damaged",
            "record_damaged",
            format!(
                "The stored record cannot be read: {place}column {column}: expected {expected}."
            ),
        )
    }

    pub(crate) fn unavailable(message: &'static str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Service unavailable",
            "unavailable",
            message,
        )
    }
}

impl From<keystile::Error> for Problem {
    fn from(error: keystile::Error) -> Self {
        match error.kind() {
            ErrorKind::Exceeds => Self::exceeds(error.message()),
            ErrorKind::State => Self::new(
                StatusCode::CONFLICT,
                "Not in this state",
                "conflict",
                error.message(),
            ),
            ErrorKind::Randomness => Self::unavailable(error.message()),
            // Which of the items is wrong can be seen only by its index.
            _ if error.index().is_some() => Self::invalid(error.to_string()),
            _ => Self::invalid(error.message()),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found(),
            StoreError::Refused(error) => error.into(),
            StoreError::Derived(DerivedProblem::ExceedsSource) => {
                Self::exceeds("A derived key must not exceed the key that it derives from.")
            }
            StoreError::Derived(problem) => {
                let text = problem.to_string();
                let mut letters = text.chars();
                let first = letters.next().map(|first| first.to_ascii_uppercase());
                let message: String = first.into_iter().chain(letters).chain(['.']).collect();
                Self::new(
                    StatusCode::CONFLICT,
                    "Not in this state",
                    "conflict",
                    message,
                )
            }
            StoreError::AnotherRequest => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Idempotency key reused",
                "idempotency_key_reused",
                "This Idempotency-Key was sent with another request less than a day ago.",
            ),
            StoreError::Stale | StoreError::Duplicate | StoreError::Answered => Self::new(
                StatusCode::CONFLICT,
                "Changed meanwhile",
                "stale",
                "The key was modified concurrently; try again.",
            ),
            StoreError::Template(problem) => of_template(&problem),
            StoreError::OutOfRange => Self::invalid(error.to_string()),
            StoreError::TooManyToSort => Self::invalid(
                "sort: this order needs a filter that selects fewer than 1,000 keys, such as \
                 owner or client_name.",
            ),
            StoreError::Corrupt(damage) => {
                tracing::error!(%damage, "a row of the key store is damaged");
                Self::damaged(&damage, false)
            }
            other => {
                tracing::error!(failure = %ErrorChain(&other), "the store failed");
                Self::unavailable("The key store is unavailable; try again later.")
            }
        }
    }
}

fn of_template(problem: &TemplateProblem) -> Problem {
    let conflict = |message| {
        let error = "Not in this state";
        Problem::new(StatusCode::CONFLICT, error, "conflict", message)
    };
    match problem {
        TemplateProblem::NotFound => Problem::no_template(),
        TemplateProblem::Preset => conflict(
            "monitoring, integration and admin are presets, which cannot be changed or removed.",
        ),
        TemplateProblem::Damaged(damage) => {
            tracing::error!(%damage, "a row of the key store is damaged");
            let (column, expected) = (damage.column, damage.expected);
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Template damaged",
                "record_damaged",
                format!(
                    "The stored template cannot be read: column {column}: expected {expected}."
                ),
            )
        }
        _ => Problem {
            is_of_template: true,
            ..Problem::new(
                StatusCode::CONFLICT,
                "Changed meanwhile",
                "stale",
                "The template was modified concurrently; try again.",
            )
        },
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let second = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}

/// The error responses of every route that reads a body or a query.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the OpenAPI document")]
pub(crate) enum BadInput {
    /// The request cannot be parsed: its body or query does not have the described shape.
    #[response(status = 400)]
    Malformed(Problem),
    /// The body is larger than 64 KiB.
    #[response(status = 413)]
    TooLarge(Problem),
    /// The body is not `application/json`.
    #[response(status = 415)]
    NotJson(Problem),
    /// A value is not valid; the message states what was expected.
    #[response(status = 422)]
    Invalid(Problem),
    /// The stored record of a key is damaged: `record_damaged`.
    #[response(status = 500)]
    Damaged(Problem),
    /// The key store is unavailable, the request timed out, or the service lacks the pepper of
    /// the key: `pepper_unavailable`.
    #[response(status = 503)]
    Unavailable(Problem),
}

/// The error responses of every route of the admin API.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only for the OpenAPI document")]
pub(crate) enum Guarded {
    /// Two different keys were sent.
    #[response(status = 400)]
    Conflicting(Problem),
    /// No key was sent, or the key is not valid.
    #[response(status = 401)]
    NoKey(Problem),
    /// The caller's key lacks a permission, or has fewer rights than it would grant.
    #[response(status = 403)]
    Forbidden(Problem),
    /// A value is not valid; the message states what was expected.
    #[response(status = 422)]
    Invalid(Problem),
    /// The rate limit of the caller's key is exceeded; or the key is not valid, and too many
    /// such keys came from its address: `too_many_invalid_keys`.
    #[response(status = 429)]
    Limited(Problem),
    /// The stored record of a key is damaged: `record_damaged`.
    #[response(status = 500)]
    Damaged(Problem),
    /// The key store is unavailable, the request timed out, or the service lacks the pepper of
    /// the key: `pepper_unavailable`.
    #[response(status = 503)]
    Unavailable(Problem),
}
