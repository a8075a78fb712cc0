//! What the response to an allowed request tells the client.
//!
//! The fields are the core's, [`allowed_headers`](keystile::allowed_headers). Those of a rate
//! limit stand on nearly every response, and are made here without a text in between.

use bytes::{BufMut as _, BytesMut};
use http::header::{HeaderName, HeaderValue};
use keystile::{Allowed, Quota, UnixMillis, allowed_headers};

use crate::future::Added;
use crate::rejection::field;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Headers for the response to a request that was allowed.
#[inline]
pub(crate) fn told(allowed: &Allowed, now: UnixMillis) -> Added {
    match (&allowed.quota, &allowed.notice) {
        (None, None) => Vec::new(),
        (Some(quota), None) => of_limit(quota),
        _ => allowed_headers(allowed, now)
            .into_iter()
            .filter_map(|(name, value)| field(name, value))
            .collect(),
    }
}

fn of_limit(quota: &Quota) -> Added {
    let limit = quota.limit();
    let mut added = Vec::with_capacity(4);
    added.extend([
        (LIMIT, HeaderValue::from(limit.limit())),
        (REMAINING, HeaderValue::from(quota.remaining())),
        (RESET, HeaderValue::from(quota.reset().secs_ceil())),
    ]);
    let mut policy = BytesMut::with_capacity(32);
    policy.put_slice(HeaderValue::from(limit.limit()).as_bytes());
    policy.put_slice(b";w=");
    policy.put_slice(HeaderValue::from(limit.window().secs_ceil()).as_bytes());
    if let Ok(policy) = HeaderValue::from_maybe_shared(policy.freeze()) {
        added.push((POLICY, policy));
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;
    use keystile::{Millis, RateLimit, RateState};

    #[test]
    fn what_is_told_is_what_the_core_tells() {
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let id = "1AbCdEfGhIjKlMnO".parse().unwrap();
        let mut allowed = Allowed::new(id, id);
        assert!(told(&allowed, now).is_empty());
        for (limit, window) in [(1, 1), (100, 3_600_000), (1_000_000, 86_399_999)] {
            let limit = RateLimit::new(limit, Millis::new(window)).unwrap();
            let state = limit.admit(RateState::default(), now).unwrap();
            allowed.quota = Some(limit.quota(state, now));
            let own = told(&allowed, now);
            let of_the_core = allowed_headers(&allowed, now).into_iter();
            let of_the_core: Vec<_> = of_the_core
                .filter_map(|(name, value)| field(name, value))
                .collect();
            assert_eq!(own, of_the_core);
            assert_eq!(own.len(), 4);
        }
    }
}
