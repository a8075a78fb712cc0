//! What decides about keys for a gate.

use keystile::{Request, UnixMillis, Verifier};
use keystile_store::{Answer, Authenticator, Pending, Store};

/// Decides about keys for a [`Gate`](crate::Gate): an [`Authenticator`], or a type that hides
/// the type of its store.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use http::HeaderMap;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # use keystile_store::{Authenticator, MemoryStore};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let store = Arc::new(MemoryStore::new());
/// # let authenticator = Authenticator::builder(store, Verifier::new(format)).build()?;
/// # authenticator.save_issued(&issued).await?;
/// use keystile_http::{Gate, KeyChecker, RequestContext};
/// use keystile_store::{Answer, Pending};
///
/// /// Keys from one of two stores; another variant could hold an `Authenticator<SqliteStore>`.
/// enum Keys {
///     InMemory(Authenticator<MemoryStore>),
/// }
///
/// impl KeyChecker for Keys {
///     fn verifier(&self) -> &Verifier {
///         match self {
///             Self::InMemory(keys) => keys.verifier(),
///         }
///     }
///
///     fn try_check(
///         &self,
///         credential: &[u8],
///         request: &Request<'_>,
///         now: UnixMillis,
///     ) -> Result<Answer, Pending> {
///         match self {
///             Self::InMemory(keys) => keys.try_check(credential, request, now),
///         }
///     }
///
///     async fn check(&self, credential: &[u8], request: &Request<'_>, now: UnixMillis) -> Answer {
///         match self {
///             Self::InMemory(keys) => keys.check(credential, request, now).await,
///         }
///     }
/// }
///
/// let gate = Gate::new(Keys::InMemory(authenticator));
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", "acme_invented".parse()?);
/// let context = RequestContext::new(&headers, Request::new(), None, now);
/// assert_eq!(gate.check(&context).await.unwrap_err().code(), "invalid_key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait KeyChecker: Send + Sync {
    /// The formats of the keys that it knows: a text of any other shape is not taken for a key.
    fn verifier(&self) -> &Verifier;

    /// As [`Authenticator::try_check`].
    ///
    /// # Errors
    /// If only the store can tell.
    fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending>;

    /// As [`Authenticator::check`].
    fn check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> impl Future<Output = Answer> + Send;
}

impl<S: Store + 'static> KeyChecker for Authenticator<S> {
    fn verifier(&self) -> &Verifier {
        Self::verifier(self)
    }

    #[inline(always)]
    fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending> {
        Self::try_check(self, credential, request, now)
    }

    async fn check(&self, credential: &[u8], request: &Request<'_>, now: UnixMillis) -> Answer {
        Self::check(self, credential, request, now).await
    }
}
