//! From a request's headers to the answer: the credential, the one order of checks, the
//! decision, and the decision as an HTTP response.

pub(crate) mod answer;
pub(crate) mod credential;
pub(crate) mod response;
pub(crate) mod verify;
