//! The whole decision in one call: check, fetch and admit.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;
use core::time::Duration;
use std::time::Instant;

use keystile::{
    Cause, Check, Decision, Denial, Found, Grant, Keyring, Millis, RateState, Request, UnixMillis,
    Usage,
};

use crate::boundary::fetches::{Fetch, Take, fetch_by, take_by};
use crate::boundary::values::Value;
use crate::boundary::{bytes, non_null, sized};
use crate::decision::{guard_deciding, keystile_decision, write_decision};
use crate::key::keystile_lookup;
use crate::keyring::keystile_keyring;
use crate::record::{keystile_record, keystile_usage};
use crate::request::keystile_request;
use crate::status::keystile_status::{self, *};
use crate::text::instant;
use crate::tokens::{Asked, keystile_token_request};

/// How many times a record is fetched at most, if invalidations keep overtaking the fetches.
const ROUNDS_MAX: usize = 8;
/// Before the third fetch and each later one: a replica may lag behind what was invalidated.
const ROUND_PAUSE: Duration = Duration::from_millis(5);

/// What a `keystile_fetch` found. All fields are zero when it is called.
#[repr(C)]
#[derive(Debug)]
pub struct keystile_fetched {
    /// The size of this struct in the library that calls. A field beyond it must not be written.
    pub struct_size: usize,
    /// The record, which the library frees; NULL if the store has none.
    pub record: Option<Box<keystile_record>>,
    /// Optional: what the lineage has spent, as the store has it, if `has_usage`.
    pub usage: keystile_usage,
    /// 1 if `usage` is set, otherwise 0.
    pub has_usage: u8,
}

/// A function of the caller's that fetches a record for `keystile_keyring_decide`.
///
/// `context`: as it was passed to `keystile_keyring_decide`.
/// `lookup`: what to fetch; only valid during the call.
/// `out_found`: receives what was found. A record in it belongs to the library, however the
/// function ends.
///
/// It returns `KEYSTILE_OK` if the store has answered, also if there is no such record, and
/// anything else if it has not. It is called on the calling thread, may wait, may call any
/// function of the library, and must return: by no `longjmp` and no C++ exception.
pub type keystile_fetch = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        lookup: *const keystile_lookup,
        out_found: *mut keystile_fetched,
    ) -> i32,
>;

/// What a `keystile_take` took. All fields are zero when it is called.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_taken {
    /// The size of this struct in the library that calls. A field beyond it must not be written.
    pub struct_size: usize,
    /// The state of the limit afterwards, by the clock of the limits.
    pub state: u64,
    /// The clock of the limits at that moment, in milliseconds since 1970.
    pub clock: u64,
    /// How many tokens were taken; 0 is a refusal.
    pub tokens: u32,
}

/// A function of the caller's that takes tokens of a limit for `keystile_keyring_decide_shared`.
///
/// `context`: as it was passed there.
/// `wanted`: what to take; only valid during the call.
/// `out_taken`: receives what was taken.
///
/// It returns `KEYSTILE_OK` if the limits have answered, also if they refuse, and anything else
/// if they have not. It is called as a `keystile_fetch` is.
pub type keystile_take = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        wanted: *const keystile_token_request,
        out_taken: *mut keystile_taken,
    ) -> i32,
>;

/// Decides about a request, and fetches the record by a function of the caller's if it is not
/// cached: `keystile_keyring_check` and as many `keystile_keyring_admit` as it takes, at most 8.
/// The returned status is the decision: the request may go on only if it is `KEYSTILE_OK`.
///
/// `key`, `key_len`, `request`, `now`, `out_decision`: as for `keystile_keyring_check`.
/// `fetch`: is called only if the record is needed.
/// `context`: is passed to `fetch`; may be NULL.
///
/// Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, or an error, which does not allow the
/// request either. If `fetch` returns `KEYSTILE_DENIED_RECORD_DAMAGED`, this is the refusal;
/// if it returns any other status but `KEYSTILE_OK`, if its usage has a value without its flag,
/// a flag other than 0 and 1 or no count for a record that counts its uses, or if invalidations overtake all fetches, the request is
/// refused with `KEYSTILE_DENIED_STORE_UNAVAILABLE`. Neither is cached. There are at most eight
/// fetches, with a pause of 5 ms before the third and each later one.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_decide(
    keyring: Option<&keystile_keyring>,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    now: u64,
    fetch: keystile_fetch,
    context: *mut c_void,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
) -> keystile_status {
    guard_deciding(out_decision, |out_decision| {
        let (keyring, fetch) = (non_null(keyring)?.0.core()?, non_null(fetch)?);
        let (request, key) = (sized!(request)?, bytes!(key, key_len)?);
        let now = instant(now)?;
        let callers = Callers {
            fetch,
            take: None,
            context,
        };
        request.ask(|request| {
            let decision = callers.decide(keyring, key, request, now);
            write_decision(&decision, out_decision)
        })
    })
}

/// As `keystile_keyring_decide`, by a keyring with `lease_millis`: tokens are taken by a function
/// of the caller's too.
///
/// `take`: is called only if a token is needed, at most 8 times.
/// `context`: is passed to `fetch` and `take`; may be NULL.
///
/// Returns as `keystile_keyring_decide`. While `take` does not answer, the share of this process
/// decides, see `lease_share`; without one, the request is refused with
/// `KEYSTILE_DENIED_STORE_UNAVAILABLE`. So it is by `keystile_keyring_decide`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_decide_shared(
    keyring: Option<&keystile_keyring>,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    now: u64,
    fetch: keystile_fetch,
    take: keystile_take,
    context: *mut c_void,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
) -> keystile_status {
    guard_deciding(out_decision, |out_decision| {
        let (keyring, fetch) = (non_null(keyring)?.0.core()?, non_null(fetch)?);
        let take = Some(non_null(take)?);
        let (request, key) = (sized!(request)?, bytes!(key, key_len)?);
        let now = instant(now)?;
        let callers = Callers {
            fetch,
            take,
            context,
        };
        request.ask(|request| {
            let decision = callers.decide(keyring, key, request, now);
            write_decision(&decision, out_decision)
        })
    })
}

/// Functions of the caller's, and what they are called with.
struct Callers {
    fetch: Fetch,
    take: Option<Take>,
    context: *mut c_void,
}

impl Callers {
    /// The clock after a wait. Tokens are used up to an instant; nothing else depends on it, and
    /// a program whose limits are its own may have a clock of its own.
    fn now(&self, now: UnixMillis, begun: Instant) -> UnixMillis {
        match self.take {
            Some(_) => after(now, begun),
            None => now,
        }
    }

    fn decide<'a>(
        &self,
        keyring: &Keyring<Option<Value>>,
        key: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Decision {
        let begun = Instant::now();
        let mut check = keyring.check_with(key, request, now, |_| None::<Value>);
        let (mut fetches, mut takes) = (0..ROUNDS_MAX, 0..ROUNDS_MAX);
        loop {
            check = match check {
                Check::Decided(decision, _) => return decision,
                Check::NeedsRecord(ticket) => {
                    match fetches.next() {
                        None => return refusal(Cause::StoreUnavailable),
                        Some(round) if round > 1 => std::thread::sleep(ROUND_PAUSE),
                        Some(_) => {}
                    }
                    let found = fetched(fetch_by(self.fetch, self.context, ticket.lookup()));
                    let found = match found {
                        Ok(found) => found,
                        Err(cause) => return refusal(cause),
                    };
                    let found = found.as_ref().map(|(record, usage)| {
                        Found::new(&record.0).with_usage(*usage).with_value(None)
                    });
                    keyring.admit_with(ticket, found, self.now(now, begun))
                }
                Check::NeedsTokens(ticket) => {
                    if takes.next().is_none() {
                        return refusal(Cause::StoreUnavailable);
                    }
                    let asked_at = after(now, begun);
                    let wanted = Asked::by(&ticket).request();
                    let grant = self
                        .take
                        .map(|take| take_by(take, self.context, &wanted))
                        .and_then(|taken| granted(taken, asked_at, || after(now, begun)))
                        .unwrap_or(Grant::degraded());
                    keyring.grant_with(ticket, grant, self.now(now, begun), |_| None::<Value>)
                }
            };
        }
    }
}

/// What was taken, if there was an answer; `read` is when it came.
fn granted(
    (answer, taken): (i32, keystile_taken),
    asked_at: UnixMillis,
    read: impl Fn() -> UnixMillis,
) -> Option<Grant> {
    let clock = instant(taken.clock).ok()?;
    let state = RateState::from_bits(taken.state).moved(clock, read());
    let is_answer = answer == KEYSTILE_OK as i32;
    is_answer.then(|| Grant::new(taken.tokens, state, asked_at, clock))
}

fn after(now: UnixMillis, begun: Instant) -> UnixMillis {
    let span = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    now.plus(Millis::new(span)).unwrap_or(UnixMillis::MAX)
}

/// The record that a fetch found, with its usage; or why there is no answer.
fn fetched(
    (answer, found): (i32, keystile_fetched),
) -> Result<Option<(Box<keystile_record>, Usage)>, Cause> {
    if answer == KEYSTILE_DENIED_RECORD_DAMAGED as i32 {
        return Err(Cause::RecordDamaged);
    }
    if answer != KEYSTILE_OK as i32 {
        return Err(Cause::StoreUnavailable);
    }
    let usage = found.spent().map_err(|_| Cause::StoreUnavailable)?;
    Ok(found.record.map(|record| {
        let usage = usage.unwrap_or_else(|| Usage::of(&record.0));
        (record, usage)
    }))
}

fn refusal(cause: Cause) -> Decision {
    Decision::Deny(Denial::new(cause))
}

impl keystile_taken {
    /// What is passed to a take.
    pub(crate) const fn none() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            state: 0,
            clock: 0,
            tokens: 0,
        }
    }
}

impl keystile_fetched {
    /// What is passed to a fetch.
    pub(crate) fn none() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            record: None,
            usage: keystile_usage::of(&Usage::default()),
            has_usage: 0,
        }
    }

    /// What the lineage has spent, if that is set.
    fn spent(&self) -> Result<Option<Usage>, keystile_status> {
        match self.has_usage {
            0 if self.usage.core()? == Usage::default() => Ok(None),
            1 => {
                let record = self.record.as_deref().map(|record| &record.0);
                Ok(Some(self.usage.core_for(record)?))
            }
            // Usage without its flag was meant to count.
            _ => Err(KEYSTILE_ERROR_VALUE),
        }
    }
}
