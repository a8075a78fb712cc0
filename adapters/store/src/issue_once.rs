//! Issuing a key once, however often the request for it is sent.

use core::future::Future;

use keystile::{Digest, KeyId, Millis, UnixMillis};

use crate::error::StoreError;
use crate::portable::DigestBytes;
use crate::store::Store;

/// Longest idempotency key in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long a request is remembered: a day.
pub const REQUEST_REMEMBERED_FOR: Millis = Millis::from_hours(24);
/// Longest name of a caller in bytes.
const CALLER_BYTES_MAX: usize = 300;

/// A request to issue or rotate a key, with the idempotency key that its caller chose for it. The
/// store keeps digests of that key and of the body.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{By, IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{issue_once, save_issued, IssueOnce, MemoryStore, Once, Store, StoreError};
///
/// let store = MemoryStore::new();
/// let issue = async |body: &str| {
///     let once = IssueOnce::new("tenant-7", "order-4711", body.as_bytes())?;
///     let issued = issuer.issue(&IssueRequest::new(body)?, &mut SysRng, now)?;
///     let by = By::default();
///     let acting = store.acting_as(&by).once(&once, now);
///     let saved = issue_once(&store, &once, now, save_issued(&acting, &issued)).await?;
///     Ok::<_, StoreError>((saved, issued.record.id))
/// };
/// let (first, id) = issue("Acme").await?;
/// assert_eq!(first, Once::Now(()));
/// // Sent again, as a client does that got no answer: there is no second key.
/// assert_eq!(issue("Acme").await?.0, Once::Before(id));
/// // Another request must not have the same idempotency key.
/// assert!(matches!(issue("Other").await, Err(StoreError::AnotherRequest)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueOnce {
    pub(crate) caller: Box<str>,
    pub(crate) request: DigestBytes,
    pub(crate) body: DigestBytes,
}

impl IssueOnce {
    /// The request of a caller, under an idempotency key of 1 to 255 visible ASCII characters.
    /// `body` is all that the request asks for, in a form that is the same each time.
    ///
    /// # Errors
    /// [`StoreError::Setting`] for another idempotency key, or a caller of 0 or more than 300
    /// bytes.
    pub fn new(caller: &str, idempotency_key: &str, body: &[u8]) -> Result<Self, StoreError> {
        let is_key = idempotency_key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_key || !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&idempotency_key.len()) {
            return Err(StoreError::Setting(
                "an idempotency key must be 1 to 255 visible ASCII characters",
            ));
        }
        if !(1..=CALLER_BYTES_MAX).contains(&caller.len()) || caller.contains('\0') {
            return Err(StoreError::Setting(
                "the caller of a request must be 1 to 300 bytes without NUL",
            ));
        }
        Ok(Self {
            caller: caller.into(),
            request: *Digest::sha256(idempotency_key.as_bytes()).bytes(),
            body: *Digest::sha256(body).bytes(),
        })
    }

    /// Who sent it.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// The SHA-256 digest of the idempotency key.
    #[must_use]
    pub const fn request(&self) -> &DigestBytes {
        &self.request
    }
}

/// What a store remembers of a request: see [`Store::issue_answer`].
///
/// ```
/// use keystile::UnixMillis;
/// use keystile_store::IssueAnswer;
///
/// let at = UnixMillis::new(1_790_000_000_000)?;
/// let answer = IssueAnswer::new([0; 32], "1AbCdEfGhIjKlMnO".parse()?, at);
/// assert!(answer.is_remembered(at));
/// assert!(!answer.is_remembered(at.plus(keystile::Millis::from_hours(24))?));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssueAnswer {
    /// The SHA-256 digest of its body.
    pub body: DigestBytes,
    /// The key that was issued for it.
    pub key_id: KeyId,
    /// When.
    pub at: UnixMillis,
}

impl IssueAnswer {
    /// From a store's columns.
    #[must_use]
    pub const fn new(body: DigestBytes, key_id: KeyId, at: UnixMillis) -> Self {
        Self { body, key_id, at }
    }

    /// Whether this is less than a day ago.
    #[must_use]
    pub fn is_remembered(&self, now: UnixMillis) -> bool {
        self.at > remembered_since(now)
    }
}

/// The request that a batch answers: see [`Batch::issue_request`](crate::Batch::issue_request).
///
/// ```
/// # let now = keystile::UnixMillis::new(1_790_000_000_000)?;
/// use keystile_store::{IssueNote, IssueOnce};
///
/// let request = IssueOnce::new("tenant-7", "order-4711", b"{}")?;
/// let note = IssueNote::new(request, "1AbCdEfGhIjKlMnO".parse()?, now);
/// assert_eq!(note.at, now);
/// assert!(IssueOnce::new("tenant-7", "two words", b"{}").is_err());
/// # Ok::<(), keystile_store::StoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssueNote {
    /// The request.
    pub request: IssueOnce,
    /// The key that is issued for it.
    pub key_id: KeyId,
    /// When.
    pub at: UnixMillis,
}

impl IssueNote {
    /// This key is the answer to this request.
    #[must_use]
    pub const fn new(request: IssueOnce, key_id: KeyId, at: UnixMillis) -> Self {
        Self {
            request,
            key_id,
            at,
        }
    }
}

/// What [`issue_once`] did.
///
/// ```
/// use keystile_store::Once;
///
/// let id: keystile::KeyId = "1AbCdEfGhIjKlMnO".parse()?;
/// assert_ne!(Once::Now(id), Once::Before(id));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "callers must handle both, and there is no third"
)]
pub enum Once<T> {
    /// It issued a key.
    Now(T),
    /// This key was issued for the same request, and its text was shown then. To get one that
    /// can be shown, rotate the key.
    Before(KeyId),
}

/// Runs a verb that issues a key, unless this request had its key already. Of requests that
/// arrive at the same time, in any processes, one is answered by a new key.
///
/// `verb` writes with [`ActingStore::once`](crate::ActingStore::once), or
/// [`Authenticator::once`](crate::Authenticator::once) with the feature `authenticator`. If it
/// fails, nothing is remembered.
///
/// # Errors
/// [`StoreError::AnotherRequest`] if the caller has used the idempotency key for another body
/// within a day, the store's, and those of `verb`.
pub async fn issue_once<S: Store + ?Sized, T, E: From<StoreError>>(
    store: &S,
    request: &IssueOnce,
    now: UnixMillis,
    verb: impl Future<Output = Result<T, E>>,
) -> Result<Once<T>, E> {
    if let Some(key_id) = answered(store, request, now).await? {
        return Ok(Once::Before(key_id));
    }
    match verb.await {
        Ok(done) => Ok(Once::Now(done)),
        // Another one was faster, and then a key may be rotated already, or its uses given away.
        Err(error) => match answered(store, request, now).await? {
            Some(key_id) => Ok(Once::Before(key_id)),
            None => Err(error),
        },
    }
}

/// The key that was issued for this request within a day.
///
/// # Errors
/// As [`issue_once`].
pub(crate) async fn answered<S: Store + ?Sized>(
    store: &S,
    request: &IssueOnce,
    now: UnixMillis,
) -> Result<Option<KeyId>, StoreError> {
    let answer = store.issue_answer(request).await?;
    match answer.filter(|answer| answer.is_remembered(now)) {
        None => Ok(None),
        Some(answer) if answer.body == request.body => Ok(Some(answer.key_id)),
        Some(_) => Err(StoreError::AnotherRequest),
    }
}

/// Requests before this instant are not remembered.
pub(crate) fn remembered_since(now: UnixMillis) -> UnixMillis {
    let since = now.get().saturating_sub(REQUEST_REMEMBERED_FOR.get());
    UnixMillis::new(since).unwrap_or(UnixMillis::MIN)
}
