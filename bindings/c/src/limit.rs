//! The rate limit as functions of its own state.

use core::mem::MaybeUninit;

use keystile::{Error, Millis, Quota, RateLimit, RateState};

use crate::boundary::{guard, non_null, write_out};
use crate::error::{guard_saying, keystile_error};
use crate::status::keystile_status::{self, *};
use crate::text::{instant, millis};

/// At most `limit` requests in each window, and `burst` of them at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct keystile_rate_limit {
    /// Requests in a window; 0 refuses all.
    pub limit: u32,
    /// Requests at once, usually equal to `limit`.
    pub burst: u32,
    /// The window, 1 ms to 366 days.
    pub window_millis: u64,
}

/// What was left of a limit at an instant. All zero if there is no limit.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct keystile_quota {
    /// The limit.
    pub limit: keystile_rate_limit,
    /// The state of the limit. Its content is private.
    pub state: u64,
    /// The instant, in milliseconds since 1970.
    pub now: u64,
}

/// Checks whether a limit is well formed.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_LIMIT`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rate_limit_check(
    limit: Option<&keystile_rate_limit>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        non_null(limit)?.core()?;
        Ok(())
    })
}

/// Admits one request, or refuses it at no cost.
///
/// `state`: in: the state of the limit, 0 at the start; out: its new state, only if the
/// request is admitted. Keep one for each key, and change it under a lock or with
/// compare-and-swap.
/// `now`: milliseconds since 1970.
/// `out_quota`: receives what is left, also if the request is refused. May be NULL.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_DENIED_RATE_LIMITED`, `KEYSTILE_ERROR_LIMIT` or
/// `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rate_limit_admit(
    limit: Option<&keystile_rate_limit>,
    state: Option<&mut u64>,
    now: u64,
    out_quota: Option<&mut MaybeUninit<keystile_quota>>,
) -> keystile_status {
    guard(|| {
        let (limit, state, now) = (non_null(limit)?.core()?, non_null(state)?, instant(now)?);
        let admitted = limit.admit(RateState::from_bits(*state), now);
        if let Ok(next) = admitted {
            *state = next.to_bits();
        }
        let quota = limit.quota(RateState::from_bits(*state), now);
        write_out(out_quota, keystile_quota::of(Some(&quota)));
        admitted.map_or(Err(KEYSTILE_DENIED_RATE_LIMITED), |_| Ok(()))
    })
}

/// Holds a state to a full burst, if it lies more than that and a minute ahead: then it was
/// written by a wrong reading of the clock, or before the clock was set back, or by another
/// limit. Call it only with the clock that the state is kept by, before
/// `keystile_rate_limit_admit` or `keystile_verify`, and keep the result even if the request
/// is then refused. If several processes share the state, that clock is the store's.
///
/// `state`: in and out. `now`: milliseconds since 1970.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_LIMIT` or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rate_limit_hold(
    limit: Option<&keystile_rate_limit>,
    state: Option<&mut u64>,
    now: u64,
) -> keystile_status {
    guard(|| {
        let (limit, state, now) = (non_null(limit)?.core()?, non_null(state)?, instant(now)?);
        *state = limit.held(RateState::from_bits(*state), now).to_bits();
        Ok(())
    })
}

/// As `keystile_rate_limit_hold`, without the minute: for a state that another limit left, of
/// which at most a full burst of this limit counts as spent.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rate_limit_clamp(
    limit: Option<&keystile_rate_limit>,
    state: Option<&mut u64>,
    now: u64,
) -> keystile_status {
    guard(|| {
        let (limit, state, now) = (non_null(limit)?.core()?, non_null(state)?, instant(now)?);
        *state = limit.clamped(RateState::from_bits(*state), now).to_bits();
        Ok(())
    })
}

/// Moves a state to another clock, which shows `to` when the clock of this state shows `from`:
/// exactly, unless it saturates at an end of the range. An unused state stays unused.
///
/// `state`: in and out. `from`, `to`: milliseconds since 1970.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rate_state_move(
    state: Option<&mut u64>,
    from: u64,
    to: u64,
) -> keystile_status {
    guard(|| {
        let (state, from, to) = (non_null(state)?, instant(from)?, instant(to)?);
        *state = RateState::from_bits(*state).moved(from, to).to_bits();
        Ok(())
    })
}

/// Computes when the full burst is available again; not before is there nothing to remember of
/// a state.
///
/// `out_full_at`: receives milliseconds since 1970; 0 if the limit is unused. Returns
/// `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rate_state_full_at(
    rate_state: u64,
    out_full_at: Option<&mut MaybeUninit<u64>>,
) -> keystile_status {
    guard(|| {
        let full_at = RateState::from_bits(rate_state).full_at();
        non_null(out_full_at)?.write(millis(full_at));
        Ok(())
    })
}

/// Computes how many requests would pass at once.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is no limit.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_quota_remaining(
    quota: Option<&keystile_quota>,
    out_remaining: Option<&mut MaybeUninit<u32>>,
) -> keystile_status {
    guard(|| {
        let (quota, out_remaining) = (non_null(quota)?.present()?, non_null(out_remaining)?);
        out_remaining.write(quota.remaining());
        Ok(())
    })
}

/// Computes the milliseconds until the whole limit is available again.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is no limit.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_quota_reset_millis(
    quota: Option<&keystile_quota>,
    out_millis: Option<&mut MaybeUninit<u64>>,
) -> keystile_status {
    guard(|| {
        let (quota, out_millis) = (non_null(quota)?.present()?, non_null(out_millis)?);
        out_millis.write(quota.reset().get());
        Ok(())
    })
}

/// Computes the milliseconds until one request would pass; 0 if one would pass now.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is no limit or it refuses
/// all requests.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_quota_retry_after_millis(
    quota: Option<&keystile_quota>,
    out_millis: Option<&mut MaybeUninit<u64>>,
) -> keystile_status {
    guard(|| {
        let (quota, out_millis) = (non_null(quota)?.present()?, non_null(out_millis)?);
        let wait = quota.retry_after().ok_or(KEYSTILE_ERROR_ABSENT)?;
        out_millis.write(wait.get());
        Ok(())
    })
}

impl keystile_rate_limit {
    #[inline]
    pub(crate) const fn of(limit: &RateLimit) -> Self {
        Self {
            limit: limit.limit(),
            burst: limit.burst(),
            window_millis: limit.window().get(),
        }
    }

    pub(crate) fn core(&self) -> Result<RateLimit, Error> {
        let window = Millis::new(self.window_millis);
        RateLimit::with_burst(self.limit, window, self.burst)
    }
}

impl keystile_quota {
    /// No limit.
    pub(crate) const NONE: Self = Self {
        limit: keystile_rate_limit {
            limit: 0,
            burst: 0,
            window_millis: 0,
        },
        state: 0,
        now: 0,
    };

    #[inline]
    pub(crate) fn of(quota: Option<&Quota>) -> Self {
        quota.map_or_else(Self::default, |quota| Self {
            limit: keystile_rate_limit::of(&quota.limit()),
            state: quota.state().to_bits(),
            now: quota.at().get(),
        })
    }

    /// The quota, if there is one.
    pub(crate) fn core(&self) -> Result<Option<Quota>, keystile_status> {
        if self.now == 0 {
            return Ok(None);
        }
        let (limit, now) = (self.limit.core()?, instant(self.now)?);
        Ok(Some(limit.quota(RateState::from_bits(self.state), now)))
    }

    fn present(&self) -> Result<Quota, keystile_status> {
        self.core()?.ok_or(KEYSTILE_ERROR_ABSENT)
    }
}
