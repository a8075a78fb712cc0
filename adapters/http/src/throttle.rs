//! Few lookups at a time, for addresses that have sent too many invalid keys.

use core::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Lookups that run at once.
const LOOKUPS_MAX: usize = 2;
/// How long a lookup takes at most, waiting for its turn included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs few lookups at a time, and gives up on those that take too long.
pub(crate) struct Throttle {
    permits: Semaphore,
    timeout: Duration,
}

impl Throttle {
    pub(crate) const fn new() -> Self {
        Self::with_timeout(TIMEOUT)
    }

    const fn with_timeout(timeout: Duration) -> Self {
        Self {
            permits: Semaphore::const_new(LOOKUPS_MAX),
            timeout,
        }
    }

    /// What the lookup returns; `None` if that takes too long.
    pub(crate) async fn run<T>(&self, lookup: impl Future<Output = T>) -> Option<T> {
        let in_turn = async {
            let _permit = self.permits.acquire().await;
            lookup.await
        };
        timeout(self.timeout, in_turn).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use core::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_lookup_waits_for_its_turn_and_no_longer_than_the_timeout() {
        let throttle = Throttle::with_timeout(Duration::from_millis(20));
        assert_eq!(throttle.run(ready(1)).await, Some(1));
        let others = throttle.permits.acquire_many(2).await.unwrap();
        assert_eq!(throttle.run(ready(1)).await, None, "no turn");
        drop(others);
        let hangs = throttle.run(pending::<()>()).await;
        assert_eq!(hangs, None, "nor does a turn help if the store hangs");
        assert_eq!(
            throttle.run(ready(1)).await,
            Some(1),
            "the turn is free again"
        );
    }
}
