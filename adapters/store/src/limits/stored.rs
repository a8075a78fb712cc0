//! Limits that are counted in the store.

use core::fmt;
use std::sync::Arc;

use keystile::{Error, KeyId, RateState, UnixMillis};

use super::{Limits, LimitsFuture, Rest, Take, Taken};
use crate::error::StoreError;
use crate::held::longest_of_lineage;
use crate::store::Store;
use crate::verbs::TRIES_MAX;

/// Rate limits that are counted in a store, for all processes that share it.
///
/// A state is read, and replaced if it is still the same. If another process has spent
/// meanwhile, it is read again. On PostgreSQL the server's clock counts, and otherwise the
/// machine's, which the processes share.
///
/// A lineage has one state in a store, also if its keys have different limits. What a slower one
/// has spent is not given back while a key with it lives; until then the faster ones may be
/// refused. What a faster one takes counts by the slower one as the time that it takes at the
/// faster rate.
///
/// While a change of a limit spreads, a process that still has the old one may pass up to one
/// burst of it again after each refusal by the new one, until it has read the change.
///
/// Each take is two statements, and again two for each other process that took between them.
/// Processes that take several tokens at once for a key in heavy use are not in each other's way.
///
/// A lineage that the store does not know is [`StoreError::NotFound`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, RateLimit, SysRng, UnixMillis};
/// use keystile_store::{save_issued, Limits, MemoryStore, StoreError, StoredLimits, Take};
///
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, UnixMillis::now()?)?;
/// let store = Arc::new(MemoryStore::new());
/// save_issued(&*store, &issued).await?;
/// let limits = StoredLimits::new(store);
/// let daily = RateLimit::new(1, Millis::from_days(1))?;
/// let take = Take::new(issued.record.lineage, daily, 1);
/// assert_eq!(limits.take(&take).await?.tokens, 1);
/// assert_eq!(limits.take(&take).await?.tokens, 0, "refused");
///
/// let unknown = Take::new("1AbCdEfGhIjKlMnO".parse()?, daily, 1);
/// assert!(matches!(limits.take(&unknown).await, Err(StoreError::NotFound)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct StoredLimits<S> {
    store: Arc<S>,
    clock: fn() -> Result<UnixMillis, Error>,
}

impl<S: Store> StoredLimits<S> {
    /// Limits that are counted in `store`.
    #[must_use]
    pub fn new(store: Arc<S>) -> Self {
        Self::with_clock(store, UnixMillis::now)
    }

    /// As [`new`](Self::new), with another clock than the machine's, for a store that has none.
    #[must_use]
    pub fn with_clock(store: Arc<S>, clock: fn() -> Result<UnixMillis, Error>) -> Self {
        Self { store, clock }
    }

    async fn take_now(&self, take: &Take) -> Result<Taken, StoreError> {
        let Take {
            lineage,
            limit,
            tokens,
        } = take;
        for attempt in 0..TRIES_MAX {
            let stored = self.store.usage(lineage).await?;
            // Read after the state, so that the clocks come in the order of the states.
            let now = stored.clock.map_or_else(|| (self.clock)(), Ok)?;
            let before = stored.usage.rate;
            let seen = stored.seen_at(Some(limit), now).rate;
            let (taken, after) = limit.take(seen, now, *tokens);
            if taken > 0 {
                if self.store.replace_rate(lineage, before, after).await? {
                    return Ok(Taken::new(taken, after, now));
                }
                if attempt == 0 && before == RateState::default() {
                    self.require(lineage).await?;
                }
                continue;
            }
            // What was held must be stored: otherwise it would be held to a later instant each
            // time, and nothing would ever become free. A failure does not change the answer.
            if *tokens > 0
                && let Some(longest) =
                    longest_of_lineage(&*self.store, lineage, limit, &stored, now).await
            {
                let held = stored.seen_at(Some(&longest), now).rate;
                let _ = self.store.replace_rate(lineage, before, held).await;
            }
            return Ok(Taken::new(0, seen, now));
        }
        Err(StoreError::Stale)
    }

    /// Fails if there is no such lineage: its state cannot be replaced.
    async fn require(&self, lineage: &KeyId) -> Result<(), StoreError> {
        let listed = self.store.lineage(lineage).await?;
        match listed.records.is_empty() && listed.damaged.is_empty() {
            true => Err(StoreError::NotFound),
            false => Ok(()),
        }
    }

    async fn give_back_now(&self, rest: &Rest) -> Result<(), StoreError> {
        for _ in 0..TRIES_MAX {
            let stored = self.store.usage(&rest.lineage).await?;
            let now = stored.clock.map_or_else(|| (self.clock)(), Ok)?;
            let before = stored.usage.rate;
            if !rest.is_timely(now) || !has(before, rest) {
                return Ok(());
            }
            let after = rest.limit.give_back(before, rest.tokens);
            let replaced = self.store.replace_rate(&rest.lineage, before, after);
            if replaced.await? {
                return Ok(());
            }
        }
        // Others take tokens all the time. These few are lost, and nothing is given twice.
        Ok(())
    }
}

/// Whether the state has these tokens. If it does not, it was lost, or brought back for another
/// limit of which they would free more than they had spent.
///
/// The state was ahead of the clock by all of them when they were taken. Since then others may
/// have given back what they took before, within the same time: so it lies no further back than
/// that time.
fn has(state: RateState, rest: &Rest) -> bool {
    let (_, taken) = rest
        .limit
        .take(RateState::default(), rest.taken_at, rest.tokens);
    let end = rest.taken_at.plus(rest.within).unwrap_or(UnixMillis::MAX);
    state != RateState::default() && state.moved(rest.taken_at, end) >= taken
}

impl<S> fmt::Debug for StoredLimits<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredLimits").finish_non_exhaustive()
    }
}

impl<S: Store> Limits for StoredLimits<S> {
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken> {
        Box::pin(self.take_now(take))
    }

    fn give_back<'a>(&'a self, rest: &'a [Rest]) -> LimitsFuture<'a, ()> {
        Box::pin(async move {
            let mut first = Ok(());
            for rest in rest {
                match self.give_back_now(rest).await {
                    Err(error @ StoreError::Unavailable { .. }) => return Err(error),
                    // A damaged row must not keep the tokens of the others.
                    done => first = first.and(done),
                }
            }
            first
        })
    }
}
