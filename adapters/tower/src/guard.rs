//! The decision about one request, before it reaches the service.

use core::cell::Cell;
use core::fmt;
use core::mem::take;
use core::pin::pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, Entry, HeaderName};
use http::{Extensions, HeaderMap, Method, Request, Uri, request::Parts};
use keystile::{
    Cause, Credential, CredentialExtractor, Decision, Denial, DenialCode, Environment, Networks,
    Requirement, StatusPolicy, UnixMillis,
};
use keystile_store::{Answer, Authenticator, Pending, Store, StoreError};

use crate::connection::{Client, Connection};
use crate::future::Added;
use crate::identity::VerifiedKey;
use crate::invalid_keys::InvalidKeyLimit;
use crate::rejection::Rejection;
use crate::telemetry;
use crate::told::told;

/// How a server's own extensions tell of the connection.
pub(crate) type ConnectionBy = Arc<dyn Fn(&Extensions) -> Option<Connection> + Send + Sync>;

/// What all routes behind one layer share.
pub(crate) struct Settings<S> {
    pub(crate) authenticator: Authenticator<S>,
    pub(crate) rules: CredentialExtractor,
    pub(crate) key_header: Option<HeaderName>,
    pub(crate) reads_basic: bool,
    pub(crate) keeps_credential: bool,
    pub(crate) policy: StatusPolicy,
    pub(crate) environment: Option<Environment>,
    pub(crate) encrypted_only: bool,
    pub(crate) connection_by: Option<ConnectionBy>,
    pub(crate) proxies: Option<Networks>,
    pub(crate) invalid_keys: Option<InvalidKeyLimit>,
    pub(crate) clock: fn() -> Option<UnixMillis>,
}

/// What guards a route. A service is cloned for each request: this is one count then.
pub(crate) struct Guard<S>(Arc<Route<S>>);

struct Route<S> {
    settings: Arc<Settings<S>>,
    requirement: Option<Requirement>,
    is_optional: bool,
}

/// What is read of a request, beside its extensions: these are written to meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Head<'r> {
    method: &'r Method,
    uri: &'r Uri,
    headers: &'r HeaderMap,
}

/// A request that does not go on to the service now.
pub(crate) enum Held {
    Refused(Rejection),
    /// Only the store knows.
    NeedsStore(Pending, UnixMillis),
}

impl Held {
    #[cold]
    fn refused(refusal: Rejection) -> Box<Self> {
        Box::new(Self::Refused(refusal))
    }

    #[cold]
    fn needs_store(pending: Pending, now: UnixMillis) -> Box<Self> {
        Box::new(Self::NeedsStore(pending, now))
    }
}

/// A request that may pass by its key, which stands among the extensions then.
struct Passed {
    added: Added,
    has_authorization: bool,
}

/// What is asked, once it is clear what that is.
struct Asked<'r> {
    credential: Credential<'r>,
    /// Whether there is such a header: to look for one costs more than to have seen it.
    has_authorization: bool,
    request: keystile::Request<'r>,
    client: Client,
    now: UnixMillis,
}

impl<'r> Head<'r> {
    pub(crate) fn of<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        }
    }

    pub(crate) const fn of_parts(parts: &'r Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
        }
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

    /// The guard of routes that ask for something else.
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
    /// Lets a request pass, as far as memory tells, and says what goes onto the response.
    ///
    /// Who calls it moves what it returns: that is small, and what is large stays in here.
    #[inline(never)]
    pub(crate) fn admit<B>(&self, request: &mut Request<B>) -> Result<Added, Box<Held>> {
        let mut extensions = take(request.extensions_mut());
        let passed = self.look(Head::of(request), &mut extensions);
        *request.extensions_mut() = extensions;
        match passed? {
            Some(passed) => {
                self.hide_credential(request.headers_mut(), passed.has_authorization);
                Ok(passed.added)
            }
            None => Ok(Added::new()),
        }
    }

    /// The same by the store, where need be.
    pub(crate) async fn ask(
        &self,
        parts: &mut Parts,
        pending: Pending,
        now: UnixMillis,
    ) -> Result<Added, Rejection> {
        let mut extensions = take(&mut parts.extensions);
        let passed = self.fetch(Head::of_parts(parts), &mut extensions, pending, now);
        let passed = passed.await;
        parts.extensions = extensions;
        match passed? {
            Some(passed) => {
                self.hide_credential(&mut parts.headers, passed.has_authorization);
                Ok(passed.added)
            }
            None => Ok(Added::new()),
        }
    }

    /// Whose request it is, by what is in memory; nothing where it is nobody's and may be.
    #[inline(always)]
    fn look(
        &self,
        head: Head<'_>,
        extensions: &mut Extensions,
    ) -> Result<Option<Passed>, Box<Held>> {
        let Some(asked) = self.read(head, extensions).map_err(Held::refused)? else {
            return Ok(None);
        };
        let credential = asked.credential.as_bytes();
        let authenticator = &self.0.settings.authenticator;
        match authenticator.try_check(credential, &asked.request, asked.now) {
            Ok(answer) => match self.settle(answer, &asked, extensions, asked.now) {
                Ok(passed) => Ok(Some(passed)),
                Err(refusal) => Err(Held::refused(refusal)),
            },
            Err(pending) => Err(Held::needs_store(pending, asked.now)),
        }
    }

    /// Whose request it is, by the store.
    async fn fetch(
        &self,
        head: Head<'_>,
        extensions: &mut Extensions,
        pending: Pending,
        now: UnixMillis,
    ) -> Result<Option<Passed>, Rejection> {
        let Some(asked) = self.read(head, extensions)? else {
            return Ok(None);
        };
        let settings = &*self.0.settings;
        let credential = asked.credential.as_bytes();
        let authenticator = &settings.authenticator;
        // Pinned here, and not moved into what awaits it: each copy would be kilobytes.
        let check = pin!(authenticator.check_pending(pending, credential, &asked.request, now));
        let answer = match (&settings.invalid_keys, asked.client.address) {
            (Some(invalid_keys), Some(address)) => invalid_keys.pace(address, now, check).await,
            _ => Some(check.await),
        };
        let answer = answer.ok_or_else(|| self.unavailable())?;
        self.settle(answer, &asked, extensions, now).map(Some)
    }

    /// The refusal where the store did not tell.
    #[cold]
    fn unavailable(&self) -> Rejection {
        self.deny(&Denial::new(Cause::StoreUnavailable), None)
    }

    /// What is asked for; nothing where there is no key, and need be none.
    #[inline]
    fn read<'r>(
        &'r self,
        head: Head<'r>,
        extensions: &Extensions,
    ) -> Result<Option<Asked<'r>>, Rejection> {
        let settings = &*self.0.settings;
        let connection = match &settings.connection_by {
            Some(by) => by(extensions),
            None => extensions.get().copied(),
        };
        let client = Client::of(connection, settings.proxies.as_ref(), head.headers);
        if settings.encrypted_only && !client.is_encrypted {
            let refusal = Rejection::not_encrypted();
            telemetry::refused(refusal.code());
            return Err(refusal);
        }
        let Some(now) = (settings.clock)() else {
            return Err(self.unavailable());
        };
        let has_authorization = Cell::new(false);
        let fields = head.headers.iter().map(|(name, value)| {
            if *name == AUTHORIZATION {
                has_authorization.set(true);
            }
            (name.as_str().as_bytes(), value.as_bytes())
        });
        let credential = match settings.rules.extract(fields) {
            Ok(credential) => credential,
            Err(denial) if self.0.is_optional && denial.cause() == Cause::MissingCredential => {
                return Ok(None);
            }
            Err(denial) => return Err(self.refuse(&denial, client, now)),
        };
        let request = keystile::Request::new()
            .endpoint(head.method.as_str(), head.uri.path())
            .requires(&self.0.requirement)
            .environment(&settings.environment)
            .address(client.address);
        Ok(Some(Asked {
            credential,
            has_authorization: has_authorization.get(),
            request,
            client,
            now,
        }))
    }

    #[inline(always)]
    fn settle(
        &self,
        answer: Answer,
        asked: &Asked<'_>,
        extensions: &mut Extensions,
        now: UnixMillis,
    ) -> Result<Passed, Rejection> {
        match (answer.decision, answer.record) {
            (Decision::Allow(allowed), Some(record)) => {
                telemetry::allowed(&allowed.key_id);
                let added = told(&allowed, now);
                // To where it stays, at once: it is large.
                extensions.insert(VerifiedKey::new(allowed, record, self.0.settings.policy));
                Ok(Passed {
                    added,
                    has_authorization: asked.has_authorization,
                })
            }
            // An allow comes with a record.
            (Decision::Allow(_), None) => Err(self.unavailable()),
            (Decision::Deny(denial), _) => Err(match &answer.failure {
                Some(failure) => self.deny(&denial, Some(failure)),
                None => self.refuse(&denial, asked.client, now),
            }),
        }
    }

    /// The refusal of a denial. Where the key is not known, it counts as a guess.
    #[cold]
    fn refuse(&self, denial: &Denial, client: Client, now: UnixMillis) -> Rejection {
        if denial.code() == DenialCode::InvalidKey
            && let (Some(invalid_keys), Some(address)) =
                (&self.0.settings.invalid_keys, client.address)
            && let Err(wait) = invalid_keys.count(address, now)
        {
            let refusal = Rejection::too_many_invalid_keys(wait);
            telemetry::denied(denial, refusal.code(), None);
            return refusal;
        }
        self.deny(denial, None)
    }

    #[cold]
    fn deny(&self, denial: &Denial, failure: Option<&Arc<StoreError>>) -> Rejection {
        telemetry::denied(denial, denial.code().as_str(), failure);
        Rejection::of(denial, self.0.settings.policy, self.0.requirement.as_ref())
    }

    /// Takes the credential off the request, or marks it as nothing to be printed.
    fn hide_credential(&self, headers: &mut HeaderMap, has_authorization: bool) {
        let settings = &*self.0.settings;
        let own = settings.key_header.as_ref();
        if settings.keeps_credential {
            for name in [&X_API_KEY, &AUTHORIZATION].into_iter().chain(own) {
                if let Entry::Occupied(mut entry) = headers.entry(name) {
                    entry.iter_mut().for_each(|value| value.set_sensitive(true));
                }
            }
            return;
        }
        headers.remove(&X_API_KEY);
        if let Some(own) = own {
            headers.remove(own);
        }
        if !has_authorization {
            return;
        }
        let carries_key = headers.get_all(&AUTHORIZATION).iter().any(|value| {
            let is = |scheme: &str| {
                let text = value.as_bytes().trim_ascii_start();
                let own = text.get(..scheme.len());
                own.is_some_and(|own| own.eq_ignore_ascii_case(scheme.as_bytes()))
            };
            is("bearer") || (settings.reads_basic && is("basic"))
        });
        if carries_key {
            headers.remove(&AUTHORIZATION);
        }
    }
}

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The time of the system; nothing where that cannot be an instant of a record.
pub(crate) fn system_time() -> Option<UnixMillis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    UnixMillis::new(u64::try_from(since.as_millis()).ok()?).ok()
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
            .field("invalid_keys", &self.0.settings.invalid_keys)
            .finish_non_exhaustive()
    }
}
