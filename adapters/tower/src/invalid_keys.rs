//! A bound on refused keys, by the address that they come from.

use core::fmt;
use core::hash::BuildHasher;
use core::net::IpAddr;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{Millis, RateLimit, RateState, UnixMillis};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Addresses that are remembered under one lock.
const BUCKET: usize = 8;
/// Buckets: 16,384 addresses in all, in about 1 MiB.
const BUCKETS: usize = 2_048;
/// The bits of a hash that choose among them.
const PLACES: u64 = 2_047;
/// Look-ups at once for addresses that have guessed too often.
const LANE: usize = 2;
/// How long one of them waits at most.
const LANE_TIMEOUT: Duration = Duration::from_secs(10);

/// A bound on refused keys, by the address that they come from.
///
/// Only keys that were refused because they are not known are counted: not the requests
/// that pass, and not those of a known key that may not. What it bounds is the work that
/// invalid_keys make, and what a guesser is told; a key cannot be guessed anyway. So a valid
/// key passes from any address, however much was guessed from there: nobody can lock an
/// owner out by sitting next to them.
///
/// It remembers 16,384 addresses and no more. IPv6 addresses are taken by /64, which is
/// what one client is given. A new address takes the place of the one that is the nearest
/// to being forgotten; a flood of addresses evicts no one who is over the bound while there
/// is anybody in the same place who is not.
pub struct InvalidKeyLimit {
    limit: RateLimit,
    hasher: RandomState,
    buckets: Box<[Mutex<[Slot; BUCKET]>]>,
    /// The way to the store for addresses that have guessed too often: a narrow one.
    lane: Semaphore,
    lane_timeout: Duration,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    source: u128,
    state: RateState,
}

impl InvalidKeyLimit {
    /// At most `limit` refused keys from one address.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            hasher: RandomState::new(),
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
            lane: Semaphore::new(LANE),
            lane_timeout: LANE_TIMEOUT,
        }
    }

    /// Counts a refused key.
    ///
    /// # Errors
    /// How long until one more would be taken, where the bound is reached.
    pub fn count(&self, address: IpAddr, now: UnixMillis) -> Result<(), Millis> {
        let source = source(address);
        let Some(mut bucket) = self.bucket(source) else {
            return Ok(());
        };
        let state = find(&bucket, source).map_or_else(RateState::default, |slot| slot.state);
        let Ok(next) = self.limit.admit(state, now) else {
            let wait = self.limit.quota(state, now).retry_after();
            return Err(wait.unwrap_or(self.limit.window()));
        };
        let slot = Slot {
            source,
            state: next,
        };
        let own = bucket.iter_mut().find(|slot| slot.source == source);
        match own {
            Some(own) => *own = slot,
            None => {
                let left = |slot: &&mut Slot| self.limit.quota(slot.state, now).reset();
                if let Some(nearest) = bucket.iter_mut().min_by_key(left) {
                    *nearest = slot;
                }
            }
        }
        Ok(())
    }

    /// Whether the bound is reached for an address.
    #[must_use]
    pub fn is_reached(&self, address: IpAddr, now: UnixMillis) -> bool {
        let source = source(address);
        let bucket = self.bucket(source);
        let slot = bucket.as_deref().and_then(|bucket| find(bucket, source));
        slot.is_some_and(|slot| self.limit.admit(slot.state, now).is_err())
    }

    /// What the store says to one who asks from this address: at once where the bound is not
    /// reached, and else a few at a time. So an owner who is behind the same address gets
    /// through, and invalid_keys keep no more of the store busy than this. Nothing where that takes
    /// more than 10 s.
    pub async fn pace<T>(
        &self,
        address: IpAddr,
        now: UnixMillis,
        asked: impl Future<Output = T>,
    ) -> Option<T> {
        if !self.is_reached(address, now) {
            return Some(asked.await);
        }
        let in_lane = async {
            let _place = self.lane.acquire().await;
            asked.await
        };
        timeout(self.lane_timeout, in_lane).await.ok()
    }

    fn bucket(&self, source: u128) -> Option<MutexGuard<'_, [Slot; BUCKET]>> {
        let hash = self.hasher.hash_one(source);
        let place = usize::try_from(hash & PLACES).ok()?;
        let bucket = self.buckets.get(place)?;
        Some(bucket.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for InvalidKeyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidKeyLimit")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

fn find(bucket: &[Slot; BUCKET], source: u128) -> Option<&Slot> {
    bucket.iter().find(|slot| slot.source == source)
}

/// What counts as one source: an IPv4 address, or a network of IPv6. Never zero, which is
/// an empty slot.
fn source(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        // The last bit is set in no network of 64 bits.
        IpAddr::V6(address) => (address.to_bits() >> 64 << 64) | 1,
    }
}

#[cfg(test)]
mod tests {
    use core::future::{pending, ready};

    use super::*;

    fn at(millis: u64) -> UnixMillis {
        let start = UnixMillis::new(1_790_000_000_000).unwrap();
        start.plus(Millis::new(millis)).unwrap()
    }

    fn three_an_hour() -> InvalidKeyLimit {
        InvalidKeyLimit::new(RateLimit::new(3, Millis::from_hours(1)).unwrap())
    }

    #[test]
    fn an_address_has_so_many_guesses() {
        let limiter = three_an_hour();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert!(!limiter.is_reached(address, at(0)));
            limiter.count(address, at(0)).unwrap();
        }
        assert!(limiter.is_reached(address, at(0)));
        assert_eq!(limiter.count(address, at(0)), Err(Millis::from_secs(1_200)));
        let other = "192.0.2.2".parse().unwrap();
        assert!(!limiter.is_reached(other, at(0)), "nobody else's");
        assert!(
            !limiter.is_reached(address, at(1_200_000)),
            "and it comes back"
        );
    }

    /// I10: an address in other clothes, or its neighbour in one network, is no new one.
    #[test]
    fn one_client_is_one_source() {
        for (one, other, same) in [
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2", true),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "192.0.2.2", false),
            ("::", "0.0.0.0", false),
        ] {
            let limiter = three_an_hour();
            for _ in 0..3 {
                limiter.count(one.parse().unwrap(), at(0)).unwrap();
            }
            let reached = limiter.is_reached(other.parse().unwrap(), at(0));
            assert_eq!(reached, same, "{one} and {other}");
        }
    }

    /// I9, CVE-2024-21662: a flood of addresses does not make the limiter forget.
    #[test]
    fn a_flood_of_addresses_frees_no_one() {
        let limiter = three_an_hour();
        let hot = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            limiter.count(hot, at(0)).unwrap();
        }
        for number in 0x0a00_0000..0x0a03_0000_u32 {
            let other = IpAddr::V4(number.into());
            limiter.count(other, at(1)).unwrap();
        }
        assert!(limiter.is_reached(hot, at(1)));
    }

    /// Who guessed too often keeps few places of the store busy, and nobody else waits.
    #[tokio::test]
    async fn invalid_keys_are_throttled() {
        let mut limiter = three_an_hour();
        limiter.lane_timeout = Duration::from_millis(20);
        let [crowd, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..3 {
            limiter.count(crowd, at(0)).unwrap();
        }
        assert_eq!(limiter.pace(crowd, at(0), ready(1)).await, Some(1));
        let hanging = limiter.lane.acquire_many(2).await.unwrap();
        assert_eq!(limiter.pace(crowd, at(0), ready(1)).await, None, "no place");
        assert_eq!(limiter.pace(other, at(0), ready(1)).await, Some(1));
        drop(hanging);
        let hangs = limiter.pace(crowd, at(0), pending::<()>()).await;
        assert_eq!(hangs, None, "nor does a place help where the store hangs");
        assert_eq!(limiter.pace(crowd, at(0), ready(1)).await, Some(1), "free");
    }
}
