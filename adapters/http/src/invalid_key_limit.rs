//! A limit on invalid keys, by the address that sent them.

use core::fmt;
use core::hash::BuildHasher;
use core::net::IpAddr;
use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keystile::{Millis, RateLimit, RateState, UnixMillis};

use crate::throttle::Throttle;

/// Addresses under one lock.
const BUCKET_SLOTS: usize = 8;
/// Buckets: 16,384 addresses in all, in about 1 MiB.
const BUCKETS: usize = 2_048;
/// The bits of a hash that choose the bucket.
const BUCKET_MASK: u64 = 2_047;

/// A limit on invalid keys, by the address that sent them.
///
/// Only keys that are refused because they are not known are counted. Requests that pass
/// are not, and neither are those of a known key that is refused. This limits the work that
/// invalid keys cause; a key cannot be guessed anyway. A valid key passes from any
/// address, however many invalid ones came from there: no one can lock an owner out.
///
/// It remembers at most 16,384 addresses. An IPv6 address counts as its /64, which is what
/// one client is given. A new address replaces the one in its bucket that would be forgotten
/// first, so a flood of addresses evicts no address over the limit while the bucket has one
/// that is not.
///
/// ```
/// use keystile::{Millis, RateLimit, UnixMillis};
/// use keystile_http::InvalidKeyLimit;
/// let limit = InvalidKeyLimit::new(RateLimit::new(2, Millis::from_hours(1))?);
/// let address = "192.0.2.7".parse().unwrap();
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// assert_eq!(limit.count(address, now), Ok(()));
/// assert_eq!(limit.count(address, now), Ok(()));
/// assert_eq!(limit.count(address, now), Err(Millis::from_secs(1_800)));
/// # Ok::<(), keystile::Error>(())
/// ```
pub struct InvalidKeyLimit {
    limit: RateLimit,
    hasher: RandomState,
    buckets: Box<[Mutex<[Slot; BUCKET_SLOTS]>]>,
    /// For lookups of addresses over the limit.
    throttle: Throttle,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    source: u128,
    state: RateState,
}

impl InvalidKeyLimit {
    /// At most `limit` invalid keys from one address.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            hasher: RandomState::new(),
            buckets: (0..BUCKETS).map(|_| Mutex::default()).collect(),
            throttle: Throttle::new(),
        }
    }

    /// Counts an invalid key.
    ///
    /// # Errors
    /// How long until one more would be taken, if the limit is reached.
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
        let known = bucket.iter_mut().find(|slot| slot.source == source);
        match known {
            Some(known) => *known = slot,
            None => {
                let left = |slot: &&mut Slot| self.limit.quota(slot.state, now).reset();
                if let Some(nearest) = bucket.iter_mut().min_by_key(left) {
                    *nearest = slot;
                }
            }
        }
        Ok(())
    }

    /// Whether the limit is reached for an address.
    #[must_use]
    pub fn is_reached(&self, address: IpAddr, now: UnixMillis) -> bool {
        let source = source(address);
        let bucket = self.bucket(source);
        let slot = bucket.as_deref().and_then(|bucket| find(bucket, source));
        slot.is_some_and(|slot| self.limit.admit(slot.state, now).is_err())
    }

    /// What the lookup returns: at once if the limit is not reached for the address, and
    /// otherwise only a few lookups at a time. So an owner at the same address gets
    /// through, and invalid keys keep the store no busier than this. `None` if that takes
    /// more than 10 s.
    pub async fn throttle<T>(
        &self,
        address: IpAddr,
        now: UnixMillis,
        lookup: impl Future<Output = T>,
    ) -> Option<T> {
        if self.is_reached(address, now) {
            self.throttle.run(lookup).await
        } else {
            Some(lookup.await)
        }
    }

    fn bucket(&self, source: u128) -> Option<MutexGuard<'_, [Slot; BUCKET_SLOTS]>> {
        let hash = self.hasher.hash_one(source);
        let index = usize::try_from(hash & BUCKET_MASK).ok()?;
        let bucket = self.buckets.get(index)?;
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

fn find(bucket: &[Slot; BUCKET_SLOTS], source: u128) -> Option<&Slot> {
    bucket.iter().find(|slot| slot.source == source)
}

/// What counts as one source: an IPv4 address, or an IPv6 network. Never zero, which is an
/// empty slot.
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
    use core::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn at(millis: u64) -> UnixMillis {
        let start = UnixMillis::new(1_790_000_000_000).unwrap();
        start.plus(Millis::new(millis)).unwrap()
    }

    fn three_an_hour() -> InvalidKeyLimit {
        InvalidKeyLimit::new(RateLimit::new(3, Millis::from_hours(1)).unwrap())
    }

    #[test]
    fn an_address_is_limited_until_its_window_has_passed() {
        let limiter = three_an_hour();
        let address = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert!(!limiter.is_reached(address, at(0)));
            limiter.count(address, at(0)).unwrap();
        }
        assert!(limiter.is_reached(address, at(0)));
        assert_eq!(limiter.count(address, at(0)), Err(Millis::from_secs(1_200)));
        let other = "192.0.2.2".parse().unwrap();
        assert!(!limiter.is_reached(other, at(0)), "another address is not");
        assert!(
            !limiter.is_reached(address, at(1_200_000)),
            "one more after a third of the window"
        );
    }

    /// I10: another spelling of an address, or its neighbour in one network, is not a new one.
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

    /// Only the address over the limit waits, and only while others of it are looked up.
    #[tokio::test(start_paused = true)]
    async fn only_lookups_over_the_limit_are_throttled() {
        let limiter = three_an_hour();
        let [crowd, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        for _ in 0..3 {
            limiter.count(crowd, at(0)).unwrap();
        }
        assert_eq!(limiter.throttle(crowd, at(0), ready(1)).await, Some(1));
        let hanging = async {
            tokio::join!(
                limiter.throttle(crowd, at(0), pending::<()>()),
                limiter.throttle(crowd, at(0), pending::<()>()),
            )
        };
        let meanwhile = async {
            assert_eq!(limiter.throttle(other, at(0), ready(1)).await, Some(1));
            let third = limiter.throttle(crowd, at(0), ready(1));
            timeout(Duration::from_secs(9), third).await
        };
        let (hanging, third) = tokio::join!(hanging, meanwhile);
        assert!(third.is_err(), "it waits for its turn");
        assert_eq!(hanging, (None, None), "they end after 10 s");
        assert_eq!(
            limiter.throttle(crowd, at(0), ready(1)).await,
            Some(1),
            "free"
        );
    }
}
