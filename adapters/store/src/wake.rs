//! How the other processes of a service are notified of a change.

use core::fmt;
use std::sync::Arc;

/// Notifies the other processes of a service that the store has changed, so that they read the
/// changes at once and not at the next poll. The crate `keystile-redis` does so by Redis;
/// a `PostgresStore` notifies all processes by itself.
///
/// It is called after each commit, and nothing depends on it: a notification that is lost costs
/// the time to the next poll.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis, Verifier};
/// use keystile_store::{Authenticator, MemoryStore, Wake};
///
/// #[derive(Default)]
/// struct Counted(AtomicU32);
///
/// impl Wake for Counted {
///     fn wake(&self) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// let verifier = Verifier::new(issuer.format().clone());
/// let wake = Arc::new(Counted::default());
/// let keys = Authenticator::builder(Arc::new(MemoryStore::new()), verifier)
///     .wakes(wake.clone())
///     .build()?;
/// let now = UnixMillis::now()?;
/// keys.issue(&issuer, &IssueRequest::new("Acme")?, &mut SysRng, now).await?;
/// assert_eq!(wake.0.load(Ordering::Relaxed), 1);
///
/// // What was refused has changed nothing.
/// assert!(keys.revoke(&"1AbCdEfGhIjKlMnO".parse()?, "left", now).await.is_err());
/// assert_eq!(wake.0.load(Ordering::Relaxed), 1);
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
pub trait Wake: Send + Sync {
    /// Notifies them, without waiting for anything.
    fn wake(&self);
}

/// Who is to be notified, if there is anyone.
#[derive(Clone, Default)]
pub(crate) struct Wakes(pub(crate) Option<Arc<dyn Wake>>);

impl fmt::Debug for Wakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wakes").field(&self.0.is_some()).finish()
    }
}
