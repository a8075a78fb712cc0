//! An explanation in JSON, as the service and `keystile explain --json` print it.

use keystile::{CheckStep, Decision, ExplainedCheck, Requirement, StatusPolicy};
use keystile_store::Explained;
use serde::Serialize;
use utoipa::ToSchema;

/// The decision that a request with a key would get, and what each check compares.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, StatusPolicy, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{MemoryStore, explain, save_issued};
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let (store, verifier) = (MemoryStore::new(), Verifier::new(format));
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.endpoints(["/api/*"])?, &mut SysRng, now)?;
/// # save_issued(&store, &issued).await?;
/// use keystile_serve::ExplanationView;
///
/// let request = Request::new().endpoint("GET", "/admin");
/// let explained = explain(&store, &verifier, &issued.record.id, &request, now).await?;
/// let view = ExplanationView::new(&explained, None, StatusPolicy::Rfc9110);
/// let json = serde_json::to_value(&view)?;
/// assert_eq!((&json["code"], &json["status"]), (&"endpoint_not_allowed".into(), &403.into()));
/// assert_eq!(json["refused_by"], "endpoint");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// The key's public id.
    key_id: String,
    client_name: String,
    /// `allow` or `deny`.
    #[schema(pattern = "^(allow|deny)$")]
    decision: &'static str,
    /// The denial's stable name; null if the request would be allowed.
    code: Option<&'static str>,
    /// The HTTP status that the sender of the request would get.
    #[schema(minimum = 200, maximum = 599)]
    status: u16,
    /// What the sender would be told.
    message: Option<&'static str>,
    /// The permissions that the key lacks.
    missing: Vec<String>,
    /// The name of the first check that refuses the request; null if none does.
    refused_by: Option<&'static str>,
    /// Each check, in the order in which they are made.
    checks: Vec<CheckView>,
}

/// A check, and what it compared.
#[derive(Debug, Serialize, ToSchema)]
struct CheckView {
    /// `secret`, `status`, `expiry`, `overlap`, `environment`, `network`, `endpoint`,
    /// `permission`, `rate_limit` or `uses`.
    check: &'static str,
    passes: bool,
    /// What it refuses the request with; null if the request passes it.
    code: Option<&'static str>,
    /// The values of both sides, as a sentence for people.
    compared: String,
}

impl ExplanationView {
    /// The view of an explanation. `requirement` is what the request was checked against.
    #[must_use]
    pub fn new(
        explained: &Explained,
        requirement: Option<&Requirement>,
        policy: StatusPolicy,
    ) -> Self {
        let (record, explanation) = (&explained.record, &explained.explanation);
        let denial = explanation.decision.denial();
        Self {
            key_id: record.id.to_string(),
            client_name: record.client_name.to_string(),
            decision: match explanation.decision {
                Decision::Allow(_) => "allow",
                Decision::Deny(_) => "deny",
            },
            code: denial.map(|denial| denial.code().as_str()),
            status: denial.map_or(200, |denial| denial.code().status(policy)),
            message: denial.map(|denial| denial.code().message()),
            missing: match (denial, requirement) {
                (Some(denial), Some(asked)) => denial.missing(asked).map(str::to_owned).collect(),
                _ => Vec::new(),
            },
            refused_by: explanation.refused_by().map(|check| check.step.as_str()),
            checks: explanation.checks.iter().map(CheckView::new).collect(),
        }
    }

    /// The same without the versions of peppers: which ones a server has is nothing that the
    /// reader of one owner's keys needs to know.
    pub(crate) fn without_peppers(mut self) -> Self {
        for check in &mut self.checks {
            if check.check == CheckStep::Secret.as_str() {
                let told = match check.passes {
                    true => "the secret is taken as verified",
                    false => "the digest needs a pepper that is not known",
                };
                check.compared = told.to_owned();
            }
        }
        self
    }
}

impl CheckView {
    fn new(check: &ExplainedCheck) -> Self {
        Self {
            check: check.step.as_str(),
            passes: check.refusal.is_none(),
            code: check.refusal.map(|code| code.as_str()),
            compared: check.compared.clone(),
        }
    }
}
