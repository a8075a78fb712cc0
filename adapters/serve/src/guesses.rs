//! A bound on invalid keys, by the address of the client that sent them.

use core::future::Future;
use core::net::IpAddr;
use core::time::Duration;

use keystile::{Denial, DenialCode, Millis, RateLimit, UnixMillis};
use keystile_tower::GuessLimiter;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Look-ups at once for addresses that have guessed too often.
const LANE: usize = 2;
/// How long one of them waits at most.
const LANE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many invalid keys came from where. A valid one passes from any address: it may have
/// to wait for its record, and that is all.
pub(crate) struct Guesses {
    limiter: Option<GuessLimiter>,
    /// The way to the store for addresses that have guessed too often: a narrow one.
    lane: Semaphore,
    lane_timeout: Duration,
}

impl Guesses {
    /// At most `bound` invalid keys from one address; as many as come where there is none.
    pub(crate) fn new(bound: Option<RateLimit>) -> Self {
        Self {
            limiter: bound.map(GuessLimiter::new),
            lane: Semaphore::new(LANE),
            lane_timeout: LANE_TIMEOUT,
        }
    }

    /// Counts a denial, if its key is not known. How long until one more would be taken,
    /// where it was one too many.
    pub(crate) fn count(
        &self,
        denial: &Denial,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) -> Option<Millis> {
        let limiter = self.limiter.as_ref()?;
        let is_guess = denial.code() == DenialCode::InvalidKey;
        limiter.count(address.filter(|_| is_guess)?, now).err()
    }

    /// What the store says to one who asks from this address; nothing, where too many
    /// others who guess from there ask.
    pub(crate) async fn pace<T>(
        &self,
        address: Option<IpAddr>,
        now: UnixMillis,
        asked: impl Future<Output = T>,
    ) -> Option<T> {
        let bounded = self.limiter.as_ref().zip(address);
        if !bounded.is_some_and(|(limiter, address)| limiter.is_reached(address, now)) {
            return Some(asked.await);
        }
        // A few at a time: an owner who is behind the same address gets through, and guesses
        // keep no more of the store busy than this.
        let in_lane = async {
            let _place = self.lane.acquire().await;
            asked.await
        };
        timeout(self.lane_timeout, in_lane).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use core::future::{pending, ready};

    use keystile::Cause;

    use super::*;

    /// Who guessed too often keeps few places of the store busy, and nobody else waits.
    #[tokio::test]
    async fn guesses_go_through_a_narrow_lane() {
        let hourly = RateLimit::new(1, Millis::from_hours(1)).unwrap();
        let mut guesses = Guesses::new(Some(hourly));
        guesses.lane_timeout = Duration::from_millis(20);
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let [crowd, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().ok());
        let unknown = Denial::new(Cause::UnknownKey);
        assert_eq!(guesses.count(&unknown, crowd, now), None);
        assert!(guesses.count(&unknown, crowd, now).is_some());

        assert_eq!(guesses.pace(crowd, now, ready(1)).await, Some(1), "a place");
        let hanging = guesses.lane.acquire_many(2).await.unwrap();
        assert_eq!(guesses.pace(crowd, now, ready(1)).await, None, "no place");
        assert_eq!(guesses.pace(other, now, ready(1)).await, Some(1));
        assert_eq!(guesses.pace(None, now, ready(1)).await, Some(1));
        drop(hanging);
        let hangs = guesses.pace(crowd, now, pending::<()>());
        assert_eq!(
            hangs.await,
            None,
            "nor does a place help a store that hangs"
        );
        assert_eq!(guesses.pace(crowd, now, ready(1)).await, Some(1), "free");
    }

    #[test]
    fn only_unknown_keys_with_an_address_are_guesses() {
        let none = Guesses::new(RateLimit::new(0, Millis::from_hours(1)).ok());
        let unbounded = Guesses::new(None);
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let address = "192.0.2.1".parse().ok();
        for (cause, is_guess) in [
            (Cause::UnknownKey, true),
            (Cause::MissingCredential, false),
            (Cause::Revoked, false),
            (Cause::StoreUnavailable, false),
        ] {
            let denial = Denial::new(cause);
            let counted = none.count(&denial, address, now).is_some();
            assert_eq!(counted, is_guess, "{cause:?}");
            assert_eq!(none.count(&denial, None, now), None, "{cause:?}");
            assert_eq!(unbounded.count(&denial, address, now), None, "{cause:?}");
        }
    }
}
