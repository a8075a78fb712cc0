//! What is told of decisions: events and a counter, never with key text.

use std::sync::Arc;

use keystile::{Denial, KeyId};
use keystile_store::StoreError;

/// A request may pass.
pub(crate) fn allowed(key_id: &KeyId) {
    #[cfg(feature = "tracing")]
    tracing::trace!(target: "keystile", code = "allowed", %key_id, "allowed");
    #[cfg(not(feature = "tracing"))]
    let _ = key_id;
    count("allowed");
}

/// A request was refused for its key.
pub(crate) fn denied(denial: &Denial, code: &'static str, failure: Option<&Arc<StoreError>>) {
    #[cfg(feature = "tracing")]
    {
        let cause = denial.cause();
        let key_id = denial.key_id().map(KeyId::as_str);
        match failure {
            None => tracing::info!(target: "keystile", code, ?cause, key_id, "refused"),
            Some(failure) => {
                let failure = Causes(&**failure);
                tracing::warn!(target: "keystile", code, %failure, "the store cannot be asked");
            }
        }
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (denial, failure);
    count(code);
}

/// A request was refused before its key was looked at.
pub(crate) fn refused(code: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "keystile", code, "refused");
    count(code);
}

fn count(code: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("keystile_decisions_total", "code" => code).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = code;
}

/// An error with what caused it.
#[cfg(feature = "tracing")]
struct Causes<'e>(&'e dyn core::error::Error);

#[cfg(feature = "tracing")]
impl core::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut error = self.0;
        write!(f, "{error}")?;
        while let Some(source) = error.source() {
            write!(f, ": {source}")?;
            error = source;
        }
        Ok(())
    }
}
