//! Events and a counter of decisions, never with key text.

use keystile::KeyId;
use keystile_http::Denied;
#[cfg(feature = "tracing")]
use keystile_store::StoreError;

/// A request may pass.
pub(crate) fn allowed(key_id: &KeyId) {
    #[cfg(feature = "tracing")]
    tracing::trace!(target: "keystile", code = "allowed", %key_id, "allowed");
    #[cfg(not(feature = "tracing"))]
    let _ = key_id;
    count("allowed");
}

/// A request was refused by its key.
pub(crate) fn denied(denied: &Denied) {
    let code = denied.code();
    #[cfg(feature = "tracing")]
    {
        let denial = denied.denial();
        let (cause, key_id) = (denial.cause(), denial.key_id().map(KeyId::as_str));
        match denied.failure() {
            None => tracing::info!(target: "keystile", code, ?cause, key_id, "refused"),
            Some(StoreError::Corrupt(damage)) => {
                tracing::error!(target: "keystile", code, %damage, "a row of the key store is damaged");
            }
            Some(failure) => {
                let failure = keystile_http::ErrorChain(failure);
                tracing::warn!(target: "keystile", code, %failure, "the key store is unavailable");
            }
        }
    }
    count(code);
}

/// A request was refused before its key was read.
pub(crate) fn refused(code: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "keystile", code, "refused");
    count(code);
}

/// A handler takes the key of a request on a route without the layer.
#[cfg(feature = "axum")]
pub(crate) fn no_layer(path: &str) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "keystile",
        path,
        "refused: the route has no ApiKeyLayer, so no request has a VerifiedKey"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = path;
}

/// The limit on invalid keys has no effect.
pub(crate) fn invalid_keys_not_limited() {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "keystile",
        "invalid API keys are not limited: no connection was found in the request's extensions; \
         set ApiKeyLayerBuilder::connection_by, or without_invalid_key_limit"
    );
}

fn count(code: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("keystile_decisions_total", "code" => code).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = code;
}
