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

    /// Runs a claim when it has its turn and a place. It is not begun if the caller stops
    /// waiting before.
    ///
    /// It may wait for its turn as long as a request waits for the store, and then take as long
    /// again. With one limit on both, an overloaded queue would begin each claim when nothing of
    /// its time is left, and cut it off after its write was sent: it would spend uses, and
    /// answer no one.
    pub(super) async fn run<T>(
        &self,
        lineage: KeyId,
        claim: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Arc<StoreError>> {
        let late = |_| StoreError::unavailable_because(UnavailableKind::Late, Late);
        let (turn, _waiting) = self.join(lineage)?;
        let in_turn = async { (turn.lock().await, self.places.acquire().await) };
        let _in_turn = timeout(self.limit, in_turn).await.map_err(late)?;
        let claimed = timeout(self.limit, claim).await;
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

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_was_begun_has_time_to_end() {
        let claims = Claims::new(Duration::from_secs(5), 2);
        let begun = core::cell::Cell::new(0);
        // Each takes 0.9 s, so the sixth begins when the limit of the queue is nearly over.
        let claim = || {
            claims.run(lineage(1), async {
                begun.set(begun.get() + 1);
                tokio::time::sleep(Duration::from_millis(900)).await;
                Ok(())
            })
        };
        let (mut allowed, mut late) = (0, 0);
        let mut asking: Vec<_> = (0..20).map(|_| Box::pin(claim())).collect();
        for asked in futures_of(&mut asking).await {
            match asked {
                Ok(()) => allowed += 1,
                Err(error) => {
                    assert_eq!(error.unavailable_kind(), Some(UnavailableKind::Late));
                    late += 1;
                }
            }
        }
        assert_eq!((begun.get(), allowed, late), (6, 6, 14));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_does_not_end_is_cut_off() {
        let claims = Claims::new(Duration::from_secs(5), 2);
        let never = claims.run(lineage(1), core::future::pending::<Result<(), _>>());
        let late = never.await.unwrap_err();
        assert_eq!(late.unavailable_kind(), Some(UnavailableKind::Late));
        let done = claims.run(lineage(1), async { Ok(7) }).await;
        assert_eq!(done.unwrap(), 7, "its turn is over");
    }

    /// What all of these return, polled together.
    async fn futures_of<F: Future + Unpin>(futures: &mut [F]) -> Vec<F::Output> {
        let mut outputs: Vec<_> = futures.iter().map(|_| None).collect();
        core::future::poll_fn(|context| {
            for (future, output) in futures.iter_mut().zip(&mut outputs) {
                if output.is_none()
                    && let core::task::Poll::Ready(ready) =
                        core::pin::Pin::new(future).poll(context)
                {
                    *output = Some(ready);
                }
            }
            if outputs.iter().all(Option::is_some) {
                core::task::Poll::Ready(())
            } else {
                core::task::Poll::Pending
            }
        })
        .await;
        outputs.into_iter().flatten().collect()
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
