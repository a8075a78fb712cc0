//! What an authenticator has done.

use core::time::Duration;

use keystile::Stats;

/// What an authenticator has done, and what is waiting.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use std::sync::Arc;
/// use keystile_store::{Authenticator, MemoryStore};
///
/// # let keys = Authenticator::builder(Arc::new(MemoryStore::new()), Verifier::new(format)).build()?;
/// # let key = issued.key.expose().as_bytes();
/// let answer = keys.check(b"acme_invented", &Request::new(), now).await;
/// assert!(!answer.decision.is_allow());
/// assert_eq!(keys.stats().fetches, 0, "a text that is not a key is denied without the store");
///
/// let answer = keys.check(key, &Request::new(), now).await;
/// assert!(!answer.decision.is_allow(), "the store has no such key");
/// let stats = keys.stats();
/// assert!(stats.fetches > 0);
/// assert_eq!(stats.keyring.entries, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthenticatorStats {
    /// What the keyring has done, and what it holds.
    pub keyring: Stats,
    /// Fetches that were begun: requests that wait for the same key share one.
    pub fetches: u64,
    /// Last uses that wait to be recorded.
    pub uses_waiting: usize,
    /// Last uses, and states of rate limits, that were dropped because too many waited; those
    /// of later requests take their place.
    pub uses_dropped: u64,
    /// How often the [limits](crate::AuthenticatorBuilder::limits) were asked for tokens.
    /// [`Stats`] has how many they were, and how many checks were decided without them.
    pub limits_asked: u64,
    /// How often they failed, or did not answer in time.
    pub limits_failed: u64,
    /// How long the changes of other processes could not be read; zero if they can be.
    pub stale_for: Duration,
    /// The [revocation bound](crate::AuthenticatorBuilder::revocation_bound).
    pub revocation_bound: Duration,
    /// How long ago the last read of changes was sent that found no further one: what was
    /// committed before it is in force. Cached records are used while this is at most the
    /// bound.
    pub lease_age: Duration,
    /// Whether the age is beyond the bound.
    pub bound_exceeded: bool,
    /// Requests beyond the bound whose records were read again.
    pub revalidated: u64,
    /// Requests beyond the bound that were denied at once, because the store did not answer.
    pub refused_beyond_bound: u64,
    /// Requests beyond the bound that cached records could decide: see
    /// [`AfterBound::ServeStale`](crate::AfterBound::ServeStale).
    pub served_stale: u64,
}
