//! Claims on counted uses: those of one lineage take turns, and no fetch waits for them.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keystile::KeyId;
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::timeout;

use crate::error::{StoreError, UnavailableKind};

/// Claims of one lineage that wait at most. A store that serves fewer in the time that each may
/// wait would serve none of the further ones.
const LINEAGE_MAX: usize = 1_024;
/// Claims that wait at most, of all lineages.
const WAITING_MAX: usize = 16_384;

/// The claims that are under way.
///
/// Two claims of one lineage at once would both read the same usage, and only one of them could
/// write: the other would have to begin again. So in a process they take turns, in the order in
/// which they came, and one fails only because of another process. A claim writes, and so may
/// wait for a lock that others hold. Therefore claims have places of their own, and a claim
/// takes one only when it has its turn: fetches and other lineages go on.
pub(super) struct Claims {
    limit: Duration,
    places: Semaphore,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    by_lineage: HashMap<KeyId, Queue>,
    waiting: usize,
}

#[derive(Default)]
struct Queue {
    turn: Arc<Turn<()>>,
    waiting: usize,
}

/// A claim in its queue; dropped, it leaves it.
struct Waiting<'c> {
    claims: &'c Claims,
    lineage: KeyId,
}

#[derive(Debug, thiserror::Error)]
#[error("the store did not answer in time")]
struct Late;

#[derive(Debug, thiserror::Error)]
#[error("too many requests wait for counted uses")]
struct TooMany;

impl Claims {
    pub(super) fn new(limit: Duration, places: usize) -> Self {
        Self {
            limit,
            places: Semaphore::new(places),
            queues: Mutex::default(),
        }
    }

    /// Runs a claim when it has its turn and a place, all within the time of a request. It is
    /// not begun if the caller stops waiting before.
    pub(super) async fn run<T>(
        &self,
        lineage: KeyId,
        claim: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Arc<StoreError>> {
        let late = |_| StoreError::unavailable_because(UnavailableKind::Late, Late);
        let (turn, _waiting) = self.join(lineage)?;
        let in_turn = async {
            let _turn = turn.lock().await;
            let _place = self.places.acquire().await;
            claim.await
        };
        let claimed = timeout(self.limit, in_turn).await;
        claimed.map_err(late).flatten().map_err(Arc::new)
    }

    fn join(&self, lineage: KeyId) -> Result<(Arc<Turn<()>>, Waiting<'_>), StoreError> {
        let mut queues = self.queues();
        let waiting = queues
            .by_lineage
            .get(&lineage)
            .map_or(0, |queue| queue.waiting);
        if waiting >= LINEAGE_MAX || queues.waiting >= WAITING_MAX {
            return Err(StoreError::unavailable_because(
                UnavailableKind::Late,
                TooMany,
            ));
        }
        queues.waiting = queues.waiting.saturating_add(1);
        let queue = queues.by_lineage.entry(lineage).or_default();
        queue.waiting = queue.waiting.saturating_add(1);
        let turn = Arc::clone(&queue.turn);
        let claims = self;
        Ok((turn, Waiting { claims, lineage }))
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queues = self.claims.queues();
        queues.waiting = queues.waiting.saturating_sub(1);
        if let Some(queue) = queues.by_lineage.get_mut(&self.lineage) {
            queue.waiting = queue.waiting.saturating_sub(1);
            if queue.waiting == 0 {
                queues.by_lineage.remove(&self.lineage);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn lineage(number: u64) -> KeyId {
        format!("1{number:015}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn claims_that_wait_are_bounded_and_leave_nothing() {
        let claims = Claims::new(Duration::from_secs(5), 2);
        let never = || core::future::pending::<Result<(), StoreError>>();
        let mut asking: Vec<_> = (0..LINEAGE_MAX)
            .map(|_| Box::pin(claims.run(lineage(1), never())))
            .collect();
        for claim in &mut asking {
            assert!(poll_once(claim).await.is_none(), "it waits");
        }
        let refused = claims.run(lineage(1), never()).await.unwrap_err();
        assert_eq!(refused.unavailable_kind(), Some(UnavailableKind::Late));
        let done = claims.run(lineage(2), async { Ok(7) }).await;
        assert_eq!(done.unwrap(), 7, "another lineage goes on");
        drop(asking);
        assert_eq!(claims.queues().waiting, 0);
        assert!(claims.queues().by_lineage.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_whose_caller_is_gone_is_not_begun() {
        let claims = Claims::new(Duration::from_secs(5), 2);
        let mut first = Box::pin(claims.run(lineage(1), core::future::pending::<Result<(), _>>()));
        assert!(poll_once(&mut first).await.is_none());
        let begun = core::cell::Cell::new(false);
        let second = claims.run(lineage(1), async {
            begun.set(true);
            Ok(())
        });
        let late = second.await.unwrap_err();
        assert_eq!(late.unavailable_kind(), Some(UnavailableKind::Late));
        drop(first);
        assert!(!begun.get());
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        core::future::poll_fn(|context| {
            core::task::Poll::Ready(match core::pin::Pin::new(&mut *future).poll(context) {
                core::task::Poll::Ready(output) => Some(output),
                core::task::Poll::Pending => None,
            })
        })
        .await
    }
}
