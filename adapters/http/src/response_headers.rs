//! The header fields that the response to an allowed request gets.
//!
//! The fields are the core's, [`allowed_headers`](keystile::allowed_headers). Those of a rate
//! limit are on nearly every response, and are built here without a text in between.

use bytes::{BufMut as _, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use keystile::{Allowed, Quota, RateLimitFields, UnixMillis, allowed_headers};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Header fields for the response to an allowed request: what is left of the key's rate
/// limit, and when the key ends if it is being replaced.
///
/// ```
/// use http::HeaderMap;
/// use keystile::{Allowed, Millis, RateLimit, RateLimitFields, RateState, UnixMillis};
/// use keystile_http::ResponseHeaders;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let id = "1AbCdEfGhIjKlMnO".parse()?;
/// let mut allowed = Allowed::new(id, id);
/// let form = RateLimitFields::default();
/// assert!(ResponseHeaders::new(&allowed, form, now).is_empty(), "no limit");
///
/// let limit = RateLimit::new(100, Millis::from_hours(1))?;
/// allowed.quota = Some(limit.quota(RateState::default(), now));
/// let mut headers = HeaderMap::new();
/// ResponseHeaders::new(&allowed, form, now).add_to(&mut headers);
/// assert_eq!(headers["ratelimit-remaining"], "100");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeaders(Vec<(HeaderName, HeaderValue)>);

impl ResponseHeaders {
    /// The fields for a decision.
    #[inline]
    #[must_use]
    pub fn new(allowed: &Allowed, form: RateLimitFields, now: UnixMillis) -> Self {
        match (&allowed.quota, &allowed.notice) {
            (None, None) => Self(Vec::new()),
            (Some(quota), None) if form == RateLimitFields::Draft6 => Self(limit_fields(quota)),
            _ => Self(core_fields(allowed, form, now)),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those that the service has not set itself.
    pub fn add_to(self, headers: &mut HeaderMap) {
        headers.reserve(self.0.len());
        for (name, value) in self.0 {
            headers.entry(name).or_insert(value);
        }
    }
}

/// A header field that the core made. Both parts are well formed.
pub(crate) fn field((name, value): (&'static str, String)) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(value).ok()?;
    Some((HeaderName::from_static(name), value))
}

fn core_fields(
    allowed: &Allowed,
    form: RateLimitFields,
    now: UnixMillis,
) -> Vec<(HeaderName, HeaderValue)> {
    let fields = allowed_headers(allowed, form, now).into_iter();
    fields.filter_map(field).collect()
}

fn limit_fields(quota: &Quota) -> Vec<(HeaderName, HeaderValue)> {
    let limit = quota.limit();
    let mut fields = Vec::with_capacity(4);
    fields.extend([
        (LIMIT, HeaderValue::from(limit.limit())),
        (REMAINING, HeaderValue::from(quota.remaining())),
        (RESET, HeaderValue::from(quota.reset().secs_ceil())),
    ]);
    let mut policy = BytesMut::with_capacity(32);
    policy.put_slice(HeaderValue::from(limit.limit()).as_bytes());
    policy.put_slice(b";w=");
    policy.put_slice(HeaderValue::from(limit.window().secs_ceil()).as_bytes());
    if let Ok(policy) = HeaderValue::from_maybe_shared(policy.freeze()) {
        fields.push((POLICY, policy));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use keystile::{Millis, RateLimit, RateState};

    #[test]
    fn the_fields_of_a_limit_are_the_cores() {
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let id = "1AbCdEfGhIjKlMnO".parse().unwrap();
        let mut allowed = Allowed::new(id, id);
        assert!(ResponseHeaders::new(&allowed, RateLimitFields::Draft6, now).is_empty());
        for (limit, window) in [(1, 1), (100, 3_600_000), (1_000_000, 86_399_999)] {
            let limit = RateLimit::new(limit, Millis::new(window)).unwrap();
            let state = limit.admit(RateState::default(), now).unwrap();
            allowed.quota = Some(limit.quota(state, now));
            for form in RateLimitFields::ALL {
                let headers = ResponseHeaders::new(&allowed, form, now);
                assert_eq!(headers.0, core_fields(&allowed, form, now));
                assert_eq!(
                    headers.0.len(),
                    form.of(allowed.quota.as_ref().unwrap()).len()
                );
            }
        }
    }
}
