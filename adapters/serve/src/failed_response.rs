//! Which responses are logged as failures: those with a status of 500 or more, unless the
//! reason is in the log already.

use http::{Response, StatusCode};
use tower_http::classify::{ClassifiedResponse, ClassifyResponse, NeverClassifyEos};

/// Marks a response whose reason is logged elsewhere, and not for each request.
#[derive(Clone, Copy)]
pub(crate) struct LoggedElsewhere;

/// Classifies responses for the log.
#[derive(Clone, Copy)]
pub(crate) struct FailedResponses;

impl ClassifyResponse for FailedResponses {
    type FailureClass = String;
    type ClassifyEos = NeverClassifyEos<String>;

    fn classify_response<B>(
        self,
        response: &Response<B>,
    ) -> ClassifiedResponse<String, Self::ClassifyEos> {
        let status: StatusCode = response.status();
        let is_logged = response.extensions().get::<LoggedElsewhere>().is_some();
        ClassifiedResponse::Ready(match status.is_server_error() && !is_logged {
            true => Err(format!("Status code: {status}")),
            false => Ok(()),
        })
    }

    fn classify_error<E: core::fmt::Display + 'static>(self, error: &E) -> String {
        error.to_string()
    }
}
