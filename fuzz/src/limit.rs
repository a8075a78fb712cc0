//! The rate limit agrees with exact fractions, whatever the clock does.

use keystile::{Millis, RateLimit, RateState, UnixMillis};

use super::draw::Draw;

/// The most steps that are taken; a burst is no longer than that.
const STEPS: usize = 64;

pub fn run(data: &[u8]) {
    let mut draw = Draw::of(data);
    let limit = match draw.byte() % 3 {
        0 => u32::from(draw.byte()),
        1 => draw.u32() % 100_000,
        _ => draw.u32(),
    };
    let window = match draw.byte() % 3 {
        0 => draw.pick(&[1, 7, 1_000, 60_000, 3_600_000, 86_400_000]),
        1 => u64::from(draw.u32() % 100_000),
        _ => u64::from(draw.u32()) * 8,
    };
    let burst = match draw.byte() % 3 {
        0 => limit,
        1 => u32::from(draw.byte()),
        _ => draw.u32(),
    };
    let Ok(own) = RateLimit::with_burst(limit, Millis::new(window), burst) else {
        return;
    };
    assert_eq!(
        (own.limit(), own.window().get(), own.burst()),
        (limit, window, burst)
    );

    let mut now = 1_790_000_000_000u64;
    let mut state = RateState::default();
    let mut exact = Exact::new(limit, window, burst);
    let mut passed: Vec<u128> = Vec::new();
    let mut latest = 0;
    for _ in 0..STEPS {
        if draw.is_empty() {
            break;
        }
        let step = match draw.byte() % 5 {
            0 => 0,
            1 => u64::from(draw.byte()),
            2 => window / u64::from(limit.max(1)),
            3 => window,
            _ => u64::from(draw.u32()),
        };
        now = if draw.byte() % 8 == 7 {
            now.saturating_sub(step)
        } else {
            now.saturating_add(step)
        };
        let Ok(instant) = UnixMillis::new(now) else {
            break;
        };
        // Far beyond what the state can hold.
        if now > 1 << 43 {
            break;
        }
        let state_before = RateState::from_bits(state.to_bits());
        let quota = own.quota(state, instant);
        assert_eq!(u128::from(quota.remaining()), exact.remaining(now));
        match (own.admit(state, instant), exact.admit(now)) {
            (Ok(next), None) => {
                state = next;
                latest = latest.max(now);
                passed.push(u128::from(latest));
                assert_eq!(quota.retry_after(), Some(Millis::ZERO));
            }
            (Err(refused), Some(wait)) => {
                assert_eq!(refused.retry_after().map(Millis::get), wait);
                assert_eq!(quota.retry_after().map(Millis::get), wait);
                assert_eq!(state, state_before);
                if let Some(wait) = wait {
                    let later = UnixMillis::new(now + wait).unwrap();
                    assert!(own.admit(state, later).is_ok(), "the wait was too short");
                    let sooner = UnixMillis::new(now + wait - 1).unwrap();
                    assert!(own.admit(state, sooner).is_err(), "the wait was too long");
                }
            }
            (own, exact) => panic!("{own:?} where {exact:?} is right"),
        }
    }
    never_too_many(limit, window, burst, &passed);
}

/// In any time T, at most burst + limit × T / window pass.
fn never_too_many(limit: u32, window: u64, burst: u32, passed: &[u128]) {
    for (first, start) in passed.iter().enumerate() {
        for (last, end) in passed.iter().enumerate().skip(first) {
            let count = (last - first + 1) as u128;
            let most = u128::from(burst) * u128::from(window) + u128::from(limit) * (end - start);
            assert!(count * u128::from(window) <= most);
        }
    }
}

/// The same limit, counted in parts of a millisecond; there are `limit` of them in each.
struct Exact {
    parts: u128,
    interval: u128,
    burst: u128,
    /// When the next request would be on time.
    due: u128,
}

impl Exact {
    fn new(limit: u32, window: u64, burst: u32) -> Self {
        Self {
            parts: limit.into(),
            interval: window.into(),
            burst: burst.into(),
            due: 0,
        }
    }

    /// `None` if the request passes; otherwise the wait in milliseconds, or `None` if
    /// there is no end to it.
    fn admit(&mut self, now: u64) -> Option<Option<u64>> {
        if self.parts == 0 {
            return Some(None);
        }
        let now = u128::from(now) * self.parts;
        let next = self.due.max(now) + self.interval;
        let most = now + self.burst * self.interval;
        if next > most {
            return Some(Some((next - most).div_ceil(self.parts) as u64));
        }
        self.due = next;
        None
    }

    fn remaining(&self, now: u64) -> u128 {
        if self.parts == 0 {
            return 0;
        }
        let now = u128::from(now) * self.parts;
        let spent = self.due.max(now) - now;
        (self.burst * self.interval).saturating_sub(spent) / self.interval
    }
}
