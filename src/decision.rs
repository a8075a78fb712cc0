//! From a request's headers to the answer: the credential, the one order of checks, the
//! decision, and the decision as an HTTP response.

pub(crate) mod allowed;
pub(crate) mod answer;
pub(crate) mod carriers;
pub(crate) mod cause;
mod challenge;
pub(crate) mod check_step;
mod compared;
pub(crate) mod credential;
pub(crate) mod credential_extractor;
pub(crate) mod credential_sources;
mod dates;
pub(crate) mod denial;
pub(crate) mod denial_code;
pub(crate) mod explain;
#[cfg(feature = "serde")]
mod explain_form;
pub(crate) mod rate_limit_fields;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_policy;
pub(crate) mod status_policy;
pub(crate) mod terms;
pub(crate) mod verifier;
pub(crate) mod verify;
