//! Authenticates one request, before it reaches the service.

use core::fmt;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use http::{Extensions, HeaderMap, Method, Request, Uri, request::Parts};
use keystile::{Cause, CredentialSources, Denial, Requirement, StatusPolicy, UnixMillis};
use keystile_http::{
    Client, Denied, GateOutcome, Passed, Rejection, RequestContext, ResponseHeaders, is_preflight,
};
use keystile_store::Store;

use crate::settings::Settings;
use crate::telemetry;
use crate::verified_key::VerifiedKey;

/// What guards a route. A service is cloned for each request: that is one count here.
pub(crate) struct Guard<S>(Arc<Route<S>>);

struct Route<S> {
    settings: Arc<Settings<S>>,
    requirement: Option<Requirement>,
    is_optional: bool,
}

/// Why a request does not go on to the service at once.
pub(crate) enum Blocked {
    Rejected(Rejection),
    /// Only the store can tell.
    NeedsStore(PendingRequest),
}

/// The sources that a layer reads keys from, on a request that it let pass without a key: what is
/// behind it names them if it refuses the request.
#[derive(Clone)]
pub(crate) struct Sources(Arc<CredentialSources>);

impl Sources {
    /// The refusal of a request without a key, which names the sources of the layer that it came
    /// through.
    pub(crate) fn missing_credential(extensions: &Extensions) -> Rejection {
        let denial = Denial::new(Cause::MissingCredential);
        let rejection = Rejection::of(&denial, StatusPolicy::Rfc9110, None);
        match extensions.get::<Self>() {
            Some(Self(sources)) => rejection.with_sources(sources),
            None => rejection,
        }
    }
}

/// Marks a preflight that a layer let pass, for the requirements of routes behind it.
#[derive(Clone, Copy)]
pub(crate) struct Preflight;

/// A request that waits for the store, and what was read of it already.
pub(crate) struct PendingRequest {
    client: Client,
    now: UnixMillis,
}

impl Blocked {
    #[cold]
    fn rejected(rejection: Rejection) -> Box<Self> {
        Box::new(Self::Rejected(rejection))
    }

    #[cold]
    fn needs_store(client: Client, now: UnixMillis) -> Box<Self> {
        Box::new(Self::NeedsStore(PendingRequest { client, now }))
    }
}

impl<S> Guard<S> {
    pub(crate) fn new(settings: Settings<S>) -> Self {
        Self(Arc::new(Route {
            settings: Arc::new(settings),
            requirement: None,
            is_optional: false,
        }))
    }

    /// The guard of routes that require these permissions.
    pub(crate) fn requiring(&self, requirement: Requirement) -> Self {
        Self(Arc::new(Route {
            settings: Arc::clone(&self.0.settings),
            requirement: Some(requirement),
            is_optional: self.0.is_optional,
        }))
    }

    /// The guard of routes that may be used without a key.
    pub(crate) fn optional(&self) -> Self {
        Self(Arc::new(Route {
            settings: Arc::clone(&self.0.settings),
            requirement: self.0.requirement.clone(),
            is_optional: true,
        }))
    }
}

impl<S: Store + 'static> Guard<S> {
    /// Lets a request pass if memory can tell that it may, and returns what goes onto the
    /// response.
    // store-forwarding stall: large values stay in this function (see ARCHITECTURE.md)
    #[inline(never)]
    pub(crate) fn try_authenticate<B>(
        &self,
        request: &mut Request<B>,
    ) -> Result<ResponseHeaders, Box<Blocked>> {
        let (extensions, headers) = (request.extensions(), request.headers());
        let (client, now) = self
            .client(extensions, headers)
            .map_err(Blocked::rejected)?;
        if self.0.settings.passes_preflights
            && is_preflight(request.method().as_str(), headers)
            && self
                .0
                .settings
                .path_profile
                .accepts(request.uri().path().as_bytes())
        {
            self.pass_without_key(request);
            return Ok(ResponseHeaders::default());
        }
        let context = self.context(request.method(), request.uri(), headers, client, now);
        match self.0.settings.gate.try_check(&context) {
            GateOutcome::Passed(passed) => {
                self.hide_credential(request.headers_mut(), &passed);
                Ok(self.pass(passed, request.extensions_mut(), now))
            }
            GateOutcome::Denied(denied) => {
                self.warn_if_unlimited(extensions);
                self.reject(&denied, request.extensions_mut())
                    .map_err(Blocked::rejected)
            }
            GateOutcome::NeedsStore => {
                self.warn_if_unlimited(extensions);
                Err(Blocked::needs_store(client, now))
            }
        }
    }

    /// The same with the store.
    pub(crate) async fn authenticate(
        &self,
        parts: &mut Parts,
        pending: PendingRequest,
    ) -> Result<ResponseHeaders, Rejection> {
        let PendingRequest { client, now } = pending;
        let context = self.context(&parts.method, &parts.uri, &parts.headers, client, now);
        match self.0.settings.gate.check_with_store(&context).await {
            Ok(passed) => {
                self.hide_credential(&mut parts.headers, &passed);
                Ok(self.pass(passed, &mut parts.extensions, now))
            }
            Err(denied) => self.reject(&denied, &mut parts.extensions),
        }
    }

    /// The client, and one reading of the clock.
    #[inline(always)]
    fn client(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Result<(Client, UnixMillis), Rejection> {
        let settings = &*self.0.settings;
        let connection = settings.connection(extensions);
        let client = Client::of(connection, settings.proxies.as_ref(), headers);
        if settings.encrypted_only && !client.is_encrypted {
            let rejection = Rejection::encryption_required();
            telemetry::refused(rejection.code());
            return Err(rejection);
        }
        match (settings.clock)() {
            Some(now) => Ok((client, now)),
            None => Err(self.no_clock()),
        }
    }

    #[inline(always)]
    fn context<'r>(
        &'r self,
        method: &'r Method,
        uri: &'r Uri,
        headers: &'r HeaderMap,
        client: Client,
        now: UnixMillis,
    ) -> RequestContext<'r> {
        let request = keystile::Request::new()
            .endpoint(method.as_str(), uri.path())
            .path_profile(self.0.settings.path_profile)
            .requires(&self.0.requirement)
            .environment(&self.0.settings.environment);
        RequestContext::new(headers, request, client.address, now)
    }

    #[inline(always)]
    fn pass(
        &self,
        passed: Passed,
        extensions: &mut Extensions,
        now: UnixMillis,
    ) -> ResponseHeaders {
        telemetry::allowed(&passed.allowed.key_id);
        let policy = self.0.settings.policy;
        let headers = ResponseHeaders::new(&passed.allowed, policy.rate_limit_fields, now);
        extensions.insert(VerifiedKey::new(passed, policy));
        headers
    }

    /// Lets a preflight pass: nothing of a key reaches the service, whatever the client sent.
    #[cold]
    fn pass_without_key<B>(&self, request: &mut Request<B>) {
        let credentials = self.0.settings.gate.credentials();
        credentials.remove_all(request.headers_mut());
        let extensions = request.extensions_mut();
        extensions.remove::<VerifiedKey>();
        extensions.insert(Preflight);
        extensions.insert(self.sources());
    }

    /// The response to a refusal; none if there is no key, and need be none.
    #[cold]
    fn reject(
        &self,
        denied: &Denied,
        extensions: &mut Extensions,
    ) -> Result<ResponseHeaders, Rejection> {
        // A token in Authorization that has the shape of no key may be meant for the service.
        if self.0.is_optional
            && matches!(
                denied.denial().cause(),
                Cause::MissingCredential | Cause::Alien
            )
        {
            extensions.insert(self.sources());
            return Ok(ResponseHeaders::default());
        }
        telemetry::denied(denied);
        let requirement = self.0.requirement.as_ref();
        let rejection = denied.rejection(self.0.settings.policy, requirement);
        Err(rejection.with_sources(self.0.settings.gate.credentials().sources()))
    }

    fn sources(&self) -> Sources {
        Sources(Arc::clone(&self.0.settings.sources))
    }

    /// Logs once that the limit on invalid keys has no effect: without a connection there is
    /// no address to count them by. It is called for the first request with a key at the
    /// latest, since nothing is cached then.
    #[cold]
    fn warn_if_unlimited(&self, extensions: &Extensions) {
        let settings = &*self.0.settings;
        if settings.gate.invalid_keys().is_some()
            && !settings.has_warned.load(Ordering::Relaxed)
            && settings.connection(extensions).is_none()
            && !settings.has_warned.swap(true, Ordering::Relaxed)
        {
            telemetry::invalid_keys_not_limited();
        }
    }

    #[cold]
    fn no_clock(&self) -> Rejection {
        let denial = Denial::new(Cause::StoreUnavailable);
        telemetry::refused(denial.code().as_str());
        Rejection::of(&denial, self.0.settings.policy, None)
    }

    fn hide_credential(&self, headers: &mut HeaderMap, passed: &Passed) {
        let settings = &*self.0.settings;
        let credentials = settings.gate.credentials();
        if settings.keeps_credential {
            credentials.mark_sensitive(headers);
        } else {
            credentials.remove(headers, passed.carriers);
        }
    }
}

impl<S> Clone for Guard<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Guard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("requirement", &self.0.requirement)
            .field("is_optional", &self.0.is_optional)
            .field("policy", &self.0.settings.policy)
            .field("gate", &self.0.settings.gate)
            .finish_non_exhaustive()
    }
}
