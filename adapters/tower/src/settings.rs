//! What all routes of one layer share.

use core::sync::atomic::AtomicBool;
use std::sync::Arc;

use http::Extensions;
use keystile::{CredentialSources, Environment, Networks, PathProfile, ResponsePolicy, UnixMillis};
use keystile_http::{Connection, Gate};
use keystile_store::{Authenticator, Store};

/// Finds the connection among what the server put into a request's extensions.
pub(crate) type ConnectionBy = Arc<dyn Fn(&Extensions) -> Option<Connection> + Send + Sync>;

/// What all routes of one layer share.
pub(crate) struct Settings<S> {
    pub(crate) gate: Gate<Authenticator<S>>,
    /// Those of the gate, for the requests that pass without a key.
    pub(crate) sources: Arc<CredentialSources>,
    pub(crate) keeps_credential: bool,
    pub(crate) policy: ResponsePolicy,
    pub(crate) environment: Option<Environment>,
    pub(crate) path_profile: PathProfile,
    pub(crate) encrypted_only: bool,
    pub(crate) passes_preflights: bool,
    pub(crate) connection_by: Option<ConnectionBy>,
    pub(crate) proxies: Option<Networks>,
    pub(crate) clock: fn() -> Option<UnixMillis>,
    /// Whether it was logged that invalid keys are not limited.
    pub(crate) has_warned: AtomicBool,
}

impl<S: Store + 'static> Settings<S> {
    pub(crate) fn new(authenticator: Authenticator<S>) -> Self {
        Self {
            gate: Gate::new(authenticator),
            sources: Arc::default(),
            keeps_credential: false,
            policy: ResponsePolicy::default(),
            environment: None,
            path_profile: PathProfile::Strict,
            encrypted_only: false,
            passes_preflights: false,
            connection_by: None,
            proxies: None,
            clock: || UnixMillis::now().ok(),
            has_warned: AtomicBool::new(false),
        }
    }
}

impl<S> Settings<S> {
    /// The connection that a request came over, if the server put it there.
    #[inline(always)]
    pub(crate) fn connection(&self, extensions: &Extensions) -> Option<Connection> {
        match &self.connection_by {
            Some(find) => find(extensions),
            None => extensions.get().copied(),
        }
    }
}
