//! The whole decision in one call: check, fetch and admit.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;
use core::time::Duration;

use keystile::{Cause, Check, Decision, Denial, Found, Usage};

use crate::boundary::fetches::fetch_by;
use crate::boundary::values::Value;
use crate::boundary::{bytes, non_null, sized};
use crate::decision::{guard_deciding, keystile_decision, write_decision};
use crate::key::keystile_lookup;
use crate::keyring::keystile_keyring;
use crate::record::{keystile_record, keystile_usage};
use crate::request::keystile_request;
use crate::status::keystile_status::{self, *};
use crate::text::instant;

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
        request.ask(|request| {
            let mut check = keyring.check_with(key, request, now, |_| None::<Value>);
            for round in 0..ROUNDS_MAX {
                let ticket = match check {
                    Check::Decided(decision, _) => return write_decision(&decision, out_decision),
                    Check::NeedsRecord(ticket) => ticket,
                    // The keyring counts its limits itself.
                    Check::NeedsTokens(_) => break,
                };
                if round > 1 {
                    std::thread::sleep(ROUND_PAUSE);
                }
                let found = match fetched(fetch_by(fetch, context, ticket.lookup())) {
                    Ok(found) => found,
                    Err(cause) => return write_decision(&refusal(cause), out_decision),
                };
                let found = found.as_ref().map(|(record, usage)| {
                    Found::new(&record.0).with_usage(*usage).with_value(None)
                });
                check = keyring.admit_with(ticket, found, now);
            }
            let last = match &check {
                Check::Decided(decision, _) => decision,
                Check::NeedsRecord(_) | Check::NeedsTokens(_) => &refusal(Cause::StoreUnavailable),
            };
            write_decision(last, out_decision)
        })
    })
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
