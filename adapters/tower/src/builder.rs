//! How a layer is set up.

use core::fmt;
use std::sync::Arc;

use http::Extensions;
use keystile::{
    CredentialSources, Environment, Error, Networks, PathProfile, RateLimit, RateLimitFields,
    StatusPolicy, UnixMillis,
};
use keystile_http::Connection;
use keystile_store::{Authenticator, Store};

use crate::guard::Guard;
use crate::layer::ApiKeyLayer;
use crate::settings::Settings;

/// Sets up an [`ApiKeyLayer`]. By default it reads keys from `X-API-Key` and
/// `Authorization: Bearer`, answers with the statuses of RFC 9110, trusts no proxy, and
/// takes 60 invalid keys a minute from one address.
#[must_use = "it does nothing until it is built"]
pub struct ApiKeyLayerBuilder<S> {
    settings: Settings<S>,
    sources: CredentialSources,
}

impl<S: Store + 'static> ApiKeyLayer<S> {
    /// A layer with the defaults of [`builder`](Self::builder).
    #[must_use]
    pub fn new(authenticator: Authenticator<S>) -> Self {
        Self::builder(authenticator).build()
    }

    /// A builder for a layer with other settings.
    pub fn builder(authenticator: Authenticator<S>) -> ApiKeyLayerBuilder<S> {
        ApiKeyLayerBuilder {
            settings: Settings::new(authenticator),
            sources: CredentialSources::new(),
        }
    }
}

impl<S: Store + 'static> ApiKeyLayerBuilder<S> {
    /// Reads keys from these sources: other headers, other schemes of `Authorization`, or one
    /// header only.
    ///
    /// A request that passes loses exactly the header fields that carried its key. What does not
    /// have the shape of a key stays, such as a user's token in `Authorization`.
    ///
    /// ```
    /// # use keystile_store::MemoryStore;
    /// # use keystile_tower::ApiKeyLayerBuilder;
    /// use keystile::CredentialSources;
    /// # fn set_up(builder: ApiKeyLayerBuilder<MemoryStore>) -> Result<(), keystile::Error> {
    /// // `Authorization` is not read, and reaches the service.
    /// let layer = builder.sources(CredentialSources::none().with_header("X-Acme-Key")?).build();
    /// # Ok(())
    /// # }
    /// ```
    pub fn sources(mut self, sources: CredentialSources) -> Self {
        self.sources = sources;
        self
    }

    /// Reads this header too, as [`CredentialSources::with_header`].
    ///
    /// # Errors
    /// As [`CredentialSources::with_header`].
    pub fn key_header(mut self, name: &str) -> Result<Self, Error> {
        self.sources = self.sources.with_header(name)?;
        Ok(self)
    }

    /// Reads the user name of HTTP Basic too, as `curl -u KEY:` sends it.
    #[cfg(feature = "basic")]
    pub fn basic(mut self) -> Self {
        self.sources = self.sources.with_basic();
        self
    }

    /// Leaves the key in the headers of requests that pass, for a service that forwards it.
    /// Its header is marked as sensitive, so that its value is not printed.
    pub fn keep_credential(mut self) -> Self {
        self.settings.keeps_credential = true;
        self
    }

    /// Which status a denial is answered with. The policy of the authenticator's builder does
    /// not count here.
    pub fn status_policy(mut self, policy: StatusPolicy) -> Self {
        self.settings.policy.status = policy;
        self
    }

    /// The header fields about a key's rate limit, on allowed and refused requests. The fields of
    /// the authenticator's builder do not count here.
    pub fn rate_limit_fields(mut self, fields: RateLimitFields) -> Self {
        self.settings.policy.rate_limit_fields = fields;
        self
    }

    /// The environment of this deployment: keys of every other environment, and of none,
    /// are refused.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.settings.environment = Some(environment);
        self
    }

    /// Which request paths are accepted; [`PathProfile::Strict`] unless it is set.
    pub fn path_profile(mut self, profile: PathProfile) -> Self {
        self.settings.path_profile = profile;
        self
    }

    /// Refuses requests over a connection that is not known to be encrypted: by the
    /// server's own [`Connection`], or by `X-Forwarded-Proto` of a trusted proxy.
    pub fn encrypted_only(mut self) -> Self {
        self.settings.encrypted_only = true;
        self
    }

    /// Lets CORS preflights pass without a key: see [`is_preflight`](keystile_http::is_preflight).
    /// The handler gets no [`VerifiedKey`](crate::VerifiedKey) with them, and
    /// [`require`](crate::require()) lets them pass too. No middleware behind the layer may turn them
    /// into another method, as by `X-HTTP-Method-Override`. Better put a layer
    /// that answers preflights itself, such as tower-http's `CorsLayer`, around this one: then
    /// its answers to refused requests can be read by browsers too.
    pub fn pass_preflights(mut self) -> Self {
        self.settings.passes_preflights = true;
        self
    }

    /// How to find the connection that a request came over, among what the server put into
    /// its extensions. With axum's `into_make_service_with_connect_info`:
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
    /// Without it, a [`Connection`] is expected there. If a request has none, keys that are
    /// restricted to networks are refused, invalid keys are not limited, and a warning is
    /// logged once.
    pub fn connection_by(
        mut self,
        find: impl Fn(&Extensions) -> Option<Connection> + Send + Sync + 'static,
    ) -> Self {
        self.settings.connection_by = Some(Arc::new(find));
        self
    }

    /// Trusts `X-Forwarded-For` and `X-Forwarded-Proto` of peers in these networks. A proxy
    /// there must append its own peer to the first and set the second, whatever its client
    /// sent.
    pub fn trusted_proxies(mut self, proxies: Networks) -> Self {
        self.settings.proxies = Some(proxies);
        self
    }

    /// Limits invalid keys from one address; see
    /// [`InvalidKeyLimit`](crate::InvalidKeyLimit).
    pub fn invalid_key_limit(mut self, limit: RateLimit) -> Self {
        self.settings.gate = self.settings.gate.with_invalid_key_limit(limit);
        self
    }

    /// Does not limit invalid keys: something in front of the service does.
    pub fn without_invalid_key_limit(mut self) -> Self {
        self.settings.gate = self.settings.gate.with_invalid_key_limit(None);
        self
    }

    /// Reads the time from this clock instead of the system's. If it returns `None`,
    /// requests are refused.
    pub fn clock(mut self, clock: fn() -> Option<UnixMillis>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// The layer.
    #[must_use]
    pub fn build(mut self) -> ApiKeyLayer<S> {
        self.settings.sources = Arc::new(self.sources.clone());
        self.settings.gate = self.settings.gate.with_sources(self.sources);
        ApiKeyLayer::of(Guard::new(self.settings))
    }
}

impl<S> fmt::Debug for ApiKeyLayerBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayerBuilder").finish_non_exhaustive()
    }
}
