//! Rate limits that several processes share.

mod lineage_rates;
mod memory;
mod stored;

use core::future::Future;
use core::pin::Pin;

use keystile::{KeyId, Millis, RateLimit, RateState, UnixMillis};

use crate::error::StoreError;

pub use self::lineage_rates::LineageRates;
pub use self::memory::MemoryLimits;
pub use self::stored::StoredLimits;

/// Rate limits that are counted in one place for all processes of a service.
///
/// Each process takes requests here before it lets them pass: one at a time, or several at
/// once, which it may use for a while. The state is kept by the clock of that one place, so the
/// clocks of the processes need not agree.
///
/// [`MemoryLimits`] is for one process. [`StoredLimits`] counts in the store that has the keys,
/// by compare-and-set. The crate `keystile-redis` counts on a Redis or Valkey server. For an
/// implementation of your own, [`LineageRates`] has the arithmetic, and `conformance::limits`
/// the tests.
///
/// In any time T, at most `burst + limit × T / window` tokens of a limit are granted, by the
/// clock of the limits, however many processes ask, and what was given back in T again. So in
/// all processes together no more than that passes and what they hold when T begins, of which
/// the `Leases` of the core have a limit. If the state is lost, one burst more may pass.
///
/// The keys of a lineage share what they spend. If their limits differ, as while a change has
/// reached one of two keys, none of the limits gives back what was spent by another.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile::{Millis, RateLimit};
/// use keystile_store::{Limits, MemoryLimits, Take};
///
/// let limits = MemoryLimits::new();
/// let lineage = "1AbCdEfGhIjKlMnO".parse()?;
/// let ten = RateLimit::new(10, Millis::from_hours(1))?;
/// let taken = limits.take(&Take::new(lineage, ten, 8)).await?;
/// assert_eq!(taken.tokens, 8);
/// let taken = limits.take(&Take::new(lineage, ten, 8)).await?;
/// assert_eq!(taken.tokens, 2, "there were no more");
/// let taken = limits.take(&Take::new(lineage, ten, 1)).await?;
/// assert_eq!(taken.tokens, 0, "refused");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Limits: Send + Sync {
    /// Takes up to `take.tokens` requests of a lineage, as many as pass now; with 0, only
    /// returns the state. Each token lets one request pass.
    ///
    /// A state that cannot be read is an error, and so is no answer: neither lets a request
    /// pass. If no answer came, the tokens may have been taken.
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken>;

    /// Gives back tokens that were not used. What was taken longer ago than `rest.within` by
    /// the clock of the limits is not taken back; neither is that of a lineage whose state was
    /// lost.
    ///
    /// Give back each token at most once: do not repeat a call that failed.
    fn give_back<'a>(&'a self, rest: &'a [Rest]) -> LimitsFuture<'a, ()>;
}

/// What the methods of [`Limits`] return: a future in a box, so that the trait can be a `dyn`.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile_store::{Limits, LimitsFuture, Rest, StoreError, Take, Taken};
///
/// /// Limits that are never there.
/// struct Away;
///
/// impl Limits for Away {
///     fn take<'a>(&'a self, _: &'a Take) -> LimitsFuture<'a, Taken> {
///         Box::pin(async { Err(StoreError::unavailable(std::io::Error::other("no route"))) })
///     }
///     fn give_back<'a>(&'a self, _: &'a [Rest]) -> LimitsFuture<'a, ()> {
///         Box::pin(async { Ok(()) })
///     }
/// }
///
/// # let daily = keystile::RateLimit::new(1, keystile::Millis::from_days(1))?;
/// let limits: &dyn Limits = &Away;
/// let take = Take::new("1AbCdEfGhIjKlMnO".parse()?, daily, 1);
/// assert!(limits.take(&take).await.is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub type LimitsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A request for tokens of a lineage's rate limit.
///
/// ```
/// use keystile::{Millis, RateLimit};
/// use keystile_store::Take;
/// let lineage = "1AbCdEfGhIjKlMnO".parse()?;
/// let take = Take::new(lineage, RateLimit::new(10, Millis::from_secs(1))?, 3);
/// assert_eq!((take.lineage, take.tokens), (lineage, 3));
/// // A limit that cannot be is refused before anything is asked for.
/// assert!(RateLimit::new(10, Millis::ZERO).is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Take {
    /// The lineage, whose keys share one state.
    pub lineage: KeyId,
    /// The limit of the key that is asked for.
    pub limit: RateLimit,
    /// How many requests are to pass at most.
    pub tokens: u32,
}

/// What was taken.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{Millis, RateLimit};
/// # use keystile_store::{Limits, MemoryLimits, Take};
/// # let lineage = "1AbCdEfGhIjKlMnO".parse()?;
/// let hourly = RateLimit::new(1, Millis::from_hours(1))?;
/// let limits = MemoryLimits::new();
/// assert_eq!(limits.take(&Take::new(lineage, hourly, 1)).await?.tokens, 1);
/// let refused = limits.take(&Take::new(lineage, hourly, 1)).await?;
/// assert_eq!(refused.tokens, 0);
/// let quota = hourly.quota(refused.state, refused.clock);
/// assert!(quota.retry_after().unwrap() > Millis::ZERO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// How many requests may pass; 0 if none may, which is a refusal if any was asked for.
    pub tokens: u32,
    /// The state of the limit afterwards, by [`clock`](Self::clock).
    pub state: RateState,
    /// The clock of the limits at that moment.
    pub clock: UnixMillis,
}

/// Tokens that were taken and not used.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{Millis, RateLimit};
/// # use keystile_store::{Limits, MemoryLimits, Rest, Take};
/// # let lineage = "1AbCdEfGhIjKlMnO".parse()?;
/// let ten = RateLimit::new(10, Millis::from_hours(1))?;
/// let limits = MemoryLimits::new();
/// let take = Take::new(lineage, ten, 8);
/// let taken = limits.take(&take).await?;
/// let rest = Rest::new(&take, &taken, 5, Millis::from_secs(1));
/// limits.give_back(&[rest]).await?;
/// let all = Take::new(lineage, ten, 10);
/// assert_eq!(limits.take(&all).await?.tokens, 7, "and no more");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rest {
    /// The lineage.
    pub lineage: KeyId,
    /// The limit that they were taken of.
    pub limit: RateLimit,
    /// How many.
    pub tokens: u32,
    /// When they were taken, by the clock of the limits.
    pub taken_at: UnixMillis,
    /// Until how long after that they are taken back: the length of a lease.
    pub within: Millis,
}

impl Take {
    /// Asks for up to `tokens` requests.
    #[must_use]
    pub const fn new(lineage: KeyId, limit: RateLimit, tokens: u32) -> Self {
        Self {
            lineage,
            limit,
            tokens,
        }
    }
}

impl Taken {
    /// What was taken, for an implementation of [`Limits`].
    #[must_use]
    pub const fn new(tokens: u32, state: RateState, clock: UnixMillis) -> Self {
        Self {
            tokens,
            state,
            clock,
        }
    }
}

impl Rest {
    /// `tokens` of what was `taken` are not used.
    #[must_use]
    pub const fn new(take: &Take, taken: &Taken, tokens: u32, within: Millis) -> Self {
        Self {
            lineage: take.lineage,
            limit: take.limit,
            tokens,
            taken_at: taken.clock,
            within,
        }
    }

    /// What a keyring has not used.
    #[cfg(feature = "authenticator")]
    #[must_use]
    pub const fn of(unused: &keystile::UnusedTokens) -> Self {
        Self {
            lineage: unused.lineage,
            limit: unused.limit,
            tokens: unused.tokens,
            taken_at: unused.taken_at,
            within: unused.within,
        }
    }

    /// Whether it is in time, by the clock of the limits.
    #[must_use]
    pub fn is_timely(&self, clock: UnixMillis) -> bool {
        self.taken_at <= clock && clock.since(self.taken_at) <= self.within
    }
}
