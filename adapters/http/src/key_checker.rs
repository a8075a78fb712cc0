//! What decides about keys for a gate.

use keystile::{Request, UnixMillis};
use keystile_store::{Answer, Authenticator, Pending, Store};

/// Decides about keys for a [`Gate`](crate::Gate): an [`Authenticator`], or a type that hides
/// the type of its store.
pub trait KeyChecker: Send + Sync {
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
