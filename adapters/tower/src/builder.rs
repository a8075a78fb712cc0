//! How a layer is set up.

use std::sync::Arc;

use http::Extensions;
use http::header::HeaderName;
use keystile::{
    CredentialExtractor, Environment, Error, Millis, Networks, RateLimit, StatusPolicy, UnixMillis,
};
use keystile_store::{Authenticator, Store};

use crate::connection::Connection;
use crate::guard::{ConnectionBy, Guard, Settings, system_time};
use crate::invalid_keys::InvalidKeyLimit;
use crate::layer::ApiKeyLayer;

/// Refused keys from one address, in a minute.
const INVALID_KEYS_A_MINUTE: u32 = 60;

/// How an [`ApiKeyLayer`] is set up: keys from `X-API-Key` and `Authorization: Bearer`,
/// statuses by RFC 9110, no proxy trusted, and 60 invalid keys a minute from one address.
#[must_use = "it does nothing until it is built"]
pub struct ApiKeyLayerBuilder<S> {
    authenticator: Authenticator<S>,
    rules: CredentialExtractor,
    key_header: Option<HeaderName>,
    reads_basic: bool,
    keeps_credential: bool,
    policy: StatusPolicy,
    environment: Option<Environment>,
    encrypted_only: bool,
    connection_by: Option<ConnectionBy>,
    proxies: Option<Networks>,
    invalid_keys: Option<InvalidKeyLimit>,
    clock: fn() -> Option<UnixMillis>,
}

impl<S: Store + 'static> ApiKeyLayerBuilder<S> {
    pub(crate) fn new(authenticator: Authenticator<S>) -> Self {
        let invalid_keys = RateLimit::new(INVALID_KEYS_A_MINUTE, Millis::from_secs(60));
        Self {
            authenticator,
            rules: CredentialExtractor::new(),
            key_header: None,
            reads_basic: false,
            keeps_credential: false,
            policy: StatusPolicy::default(),
            environment: None,
            encrypted_only: false,
            connection_by: None,
            proxies: None,
            invalid_keys: invalid_keys.ok().map(InvalidKeyLimit::new),
            clock: system_time,
        }
    }

    /// Reads this header too.
    ///
    /// # Errors
    /// As [`CredentialExtractor::with_header`].
    pub fn key_header(mut self, name: &str) -> Result<Self, Error> {
        self.rules = self.rules.with_header(name)?;
        self.key_header = HeaderName::try_from(name).ok();
        Ok(self)
    }

    /// Reads the user name of HTTP Basic too, as `curl -u KEY:` sends it.
    #[cfg(feature = "basic")]
    pub fn basic(mut self) -> Self {
        self.rules = self.rules.with_basic();
        self.reads_basic = true;
        self
    }

    /// Leaves the key in the headers of requests that pass, for a service that hands it on.
    /// Its header is marked as sensitive, which keeps it out of what is printed of it.
    pub fn keep_credential(mut self) -> Self {
        self.keeps_credential = true;
        self
    }

    /// Which status a denial is answered with.
    pub fn status_policy(mut self, policy: StatusPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The deployment that this is: keys of any other, or of none, are refused.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Refuses what came over a connection that is not known to be encrypted: by the
    /// server's own [`Connection`], or by `X-Forwarded-Proto` of a trusted proxy.
    pub fn encrypted_only(mut self) -> Self {
        self.encrypted_only = true;
        self
    }

    /// Where to find the connection that a request came over, among what the server put
    /// into its extensions. With axum's `into_make_service_with_connect_info`:
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use axum::extract::ConnectInfo;
    /// # use keystile_store::MemoryStore;
    /// # use keystile_tower::{ApiKeyLayerBuilder, Connection};
    /// # fn set_up(builder: ApiKeyLayerBuilder<MemoryStore>) -> ApiKeyLayerBuilder<MemoryStore> {
    /// builder.connection_by(|extensions| {
    ///     let peer = extensions.get::<ConnectInfo<SocketAddr>>()?;
    ///     Some(Connection::plain(peer.ip()))
    /// })
    /// # }
    /// ```
    ///
    /// Without it, a [`Connection`] is looked for there.
    pub fn connection_by(
        mut self,
        find: impl Fn(&Extensions) -> Option<Connection> + Send + Sync + 'static,
    ) -> Self {
        self.connection_by = Some(Arc::new(find));
        self
    }

    /// Believes `X-Forwarded-For` and `X-Forwarded-Proto` of peers in these networks. A
    /// proxy there must add its own peer to the first and set the second, whatever its
    /// client sent.
    pub fn trusted_proxies(mut self, proxies: Networks) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Bounds invalid keys from one address; see [`InvalidKeyLimit`].
    pub fn invalid_key_limit(mut self, limit: RateLimit) -> Self {
        self.invalid_keys = Some(InvalidKeyLimit::new(limit));
        self
    }

    /// Does not bound invalid keys: something in front of the service does.
    pub fn without_invalid_key_limit(mut self) -> Self {
        self.invalid_keys = None;
        self
    }

    /// Where the time is read; by default the system's clock. Without an answer, requests
    /// are refused.
    pub fn clock(mut self, clock: fn() -> Option<UnixMillis>) -> Self {
        self.clock = clock;
        self
    }

    /// The layer.
    #[must_use]
    pub fn build(self) -> ApiKeyLayer<S> {
        ApiKeyLayer::of(Guard::new(Settings {
            authenticator: self.authenticator,
            rules: self.rules,
            key_header: self.key_header,
            reads_basic: self.reads_basic,
            keeps_credential: self.keeps_credential,
            policy: self.policy,
            environment: self.environment,
            encrypted_only: self.encrypted_only,
            connection_by: self.connection_by,
            proxies: self.proxies,
            invalid_keys: self.invalid_keys,
            clock: self.clock,
        }))
    }
}

impl<S> core::fmt::Debug for ApiKeyLayerBuilder<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ApiKeyLayerBuilder").finish_non_exhaustive()
    }
}
