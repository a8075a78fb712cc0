//! The hot path: records are cached, decisions never.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;

use keystile::{Check, Decision, Found, Keyring, Ticket, Usage};

use crate::boundary::values::{Value, ValuedKeyring};
use crate::boundary::{
    CallResult, Out, bytes, guard, guard_or, non_null, output, put_sized, release, sized, text,
};
use crate::decision::{guard_deciding, keystile_decision, write_decision};
use crate::error::{OfField as _, guard_saying, keystile_error};
use crate::key::keystile_lookup;
use crate::keyring_options::{keystile_keyring_options, keystile_keyring_stats};
use crate::record::{keystile_record, keystile_usage};
use crate::request::keystile_request;
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_id};
use crate::tokens::write_token_ticket;
use crate::verify::keystile_verifier;

/// A cache of records for many threads. It decides each request by the record of its
/// key, and asks for the record if it has none. Handle; any threads may call its
/// functions at the same time, except `keystile_keyring_free`.
#[derive(Debug)]
pub struct keystile_keyring(pub(crate) ValuedKeyring);

/// A check that waits for its record, or for tokens. It holds no pointer and no part of a secret, and
/// need not be freed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_ticket {
    /// Private: which invalidations came before the check.
    pub private_as_of: u64,
    /// Private.
    pub private_lookup: keystile_lookup,
}

/// Creates a keyring for the keys that a verifier accepts.
///
/// `verifier`: copied.
/// `options`: NULL for the defaults.
/// `out_keyring`: receives a handle; free it with `keystile_keyring_free`.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_LIMIT` if an option is out of its range,
/// `KEYSTILE_ERROR_NULL_POINTER` if only one of the two callbacks is set, or
/// `KEYSTILE_ERROR_RANDOMNESS`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_new(
    verifier: Option<&keystile_verifier>,
    options: *const keystile_keyring_options,
    out_keyring: Option<&mut MaybeUninit<Option<Box<keystile_keyring>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (verifier, out_keyring) = (non_null(verifier)?, non_null(out_keyring)?);
        let builder = Keyring::builder(verifier.0.clone());
        let (builder, callbacks) = match options.is_null() {
            true => (builder, None),
            false => sized!(options).of_field("options")?.applied_to(builder)?,
        };
        let keyring = ValuedKeyring::new(builder, callbacks)?;
        out_keyring.write(Some(Box::new(keystile_keyring(keyring))));
        Ok(())
    })
}

/// Decides by a cached record, or returns which record to fetch. The returned status is
/// the decision: the request may go on only if it is `KEYSTILE_OK`. An allow allocates
/// nothing and takes no lock.
///
/// `key`, `key_len`: the bytes as they were presented, of any length and content.
/// `request`: what the caller wants to do.
/// `now`: milliseconds since 1970. Read the clock once for check and admit.
/// `out_decision`: receives the details of an allow or a refusal. May be NULL.
/// `out_value`: receives, with `KEYSTILE_OK` only, the value that was admitted with the very
/// record that was judged; NULL if there is none, and with every other status. The caller gets its own reference, and
/// releases it once, on any thread. May be NULL: then the value is not handed out.
/// `out_ticket`: receives what to fetch or to take, only with `KEYSTILE_NEEDS_RECORD` and
/// `KEYSTILE_NEEDS_TOKENS`.
///
/// Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, `KEYSTILE_NEEDS_RECORD`,
/// `KEYSTILE_NEEDS_TOKENS`, or an error, which does not allow the request either.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_check(
    keyring: Option<&keystile_keyring>,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    now: u64,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    mut out_value: Option<&mut MaybeUninit<*mut c_void>>,
    out_ticket: Option<&mut MaybeUninit<keystile_ticket>>,
) -> keystile_status {
    clear(&mut out_value);
    guard_deciding(out_decision, |out_decision| {
        let (keyring, out_ticket) = (non_null(keyring)?.0.core()?, non_null(out_ticket)?);
        let (request, key) = (sized!(request)?, bytes!(key, key_len)?);
        let now = instant(now)?;
        request.ask(|request| {
            let wanted = out_value.is_some();
            let mut check = keyring.check_with(key, request, now, |value| {
                // Retained only to be handed out: all threads of a hot key write to its count.
                if wanted { value.clone() } else { None }
            });
            write(&mut check, out_decision, out_value, out_ticket)
        })
    })
}

/// Returns what to ask the store for, lent by the ticket; NULL for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_ticket_lookup(
    ticket: Option<&keystile_ticket>,
) -> Option<&keystile_lookup> {
    guard_or(None, || Some(Some(&ticket?.private_lookup)))
}

/// Decides by the record that was fetched for a ticket, and caches it.
///
/// If an invalidation overtook the fetch, or the record is older than one that was
/// seen, this returns another ticket: fetch again. Give up after some rounds and refuse
/// with `KEYSTILE_CAUSE_STORE_UNAVAILABLE`; never allow.
///
/// `ticket`: from a check of the same key and request by this keyring. May be the same
/// struct as `out_ticket`.
/// `key`, `key_len`, `request`, `now`: as for the check.
/// `record`: what the store has now; NULL if it has none.
/// `usage`: what the lineage has spent, as the store has it, so that a limit survives a
/// restart; its rate state is by the clock of `now`, see `keystile_rate_state_move`. NULL if
/// the store knows of none. Not used without a record.
/// `value`: what later checks by this record hand out, or NULL. The keyring adds its own
/// reference, and never looks at the value. Not used without a record.
/// `out_decision`, `out_value`, `out_ticket`: as for the check.
///
/// Returns as `keystile_keyring_check`, and `KEYSTILE_ERROR_NULL_POINTER` for a value if the
/// keyring was made without callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_admit(
    keyring: Option<&keystile_keyring>,
    ticket: *const keystile_ticket,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    record: Option<&keystile_record>,
    usage: Option<&keystile_usage>,
    value: *mut c_void,
    now: u64,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    mut out_value: Option<&mut MaybeUninit<*mut c_void>>,
    out_ticket: *mut keystile_ticket,
) -> keystile_status {
    clear(&mut out_value);
    guard_deciding(out_decision, |out_decision| {
        let keyring = &non_null(keyring)?.0;
        let value = keyring.retain(value)?;
        // Read this before there is a reference to the output: the two may be the same.
        let as_of = non_null(bytes!(ticket, size_of::<u64>())?.first_chunk())?;
        let (as_of, out_ticket) = (u64::from_ne_bytes(*as_of), non_null(output!(out_ticket))?);
        let (request, key) = (sized!(request)?, bytes!(key, key_len)?);
        let now = instant(now)?;
        request.ask(|request| {
            let ticket = match keyring.core()?.ticket(key, request, as_of) {
                Ok(ticket) => ticket,
                Err(denial) => return write_decision(&Decision::Deny(denial), out_decision),
            };
            let usage = usage.map(keystile_usage::core).transpose()?;
            let found = record.map(|record| {
                let usage = usage.unwrap_or_else(|| Usage::of(&record.0));
                let found = Found::new(&record.0).with_usage(usage);
                found.with_value(value)
            });
            let mut check = keyring.core()?.admit_with(ticket, found, now);
            write(&mut check, out_decision, out_value, out_ticket)
        })
    })
}

/// Looks up the value of a cached record without a decision, as long as a check of the key
/// would be decided by that record; the key may be in any state. This is not counted as a
/// use of the key, and does not prove who asks.
///
/// `now`: as for the check.
/// `out_value`: receives the value, or NULL if no such record is cached or it has none. The
/// caller gets its own reference, and releases it once, on any thread. NULL after an error.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_KEY_ID` or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_value(
    keyring: Option<&keystile_keyring>,
    key_id: Option<&keystile_id>,
    now: u64,
    mut out_value: Option<&mut MaybeUninit<*mut c_void>>,
) -> keystile_status {
    clear(&mut out_value);
    guard(|| {
        let (keyring, out_value) = (non_null(keyring)?.0.core()?, non_null(out_value)?);
        let (id, now) = (non_null(key_id)?.core()?, instant(now)?);
        let value = keyring.value(&id, now).flatten();
        out_value.write(value.map_or(null_mut(), Value::hand_over));
        Ok(())
    })
}

/// Invalidates the cached record of a key, and fetches of it in progress. After this
/// has returned, no later call decides by an older record. Call it after each change
/// that the store has accepted, and after issuing.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_KEY_ID`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_invalidate(
    keyring: Option<&keystile_keyring>,
    key_id: Option<&keystile_id>,
) -> keystile_status {
    guard(|| {
        let (keyring, id) = (non_null(keyring)?, non_null(key_id)?.core()?);
        keyring.0.core()?.invalidate(&id);
        Ok(())
    })
}

/// As `keystile_keyring_invalidate`, and no version before this one is admitted from now on:
/// also if the key was not cached, and the next fetch is answered by a replica that lags.
/// Call it with the version of the record that the store has accepted. The latest 65,536
/// versions are remembered; `versions_lost` counts those that were forgotten too early.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_KEY_ID`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_invalidate_at(
    keyring: Option<&keystile_keyring>,
    key_id: Option<&keystile_id>,
    version: u64,
) -> keystile_status {
    guard(|| {
        let (keyring, id) = (non_null(keyring)?, non_null(key_id)?.core()?);
        keyring.0.core()?.invalidate_at(&id, version);
        Ok(())
    })
}

/// Invalidates the cached records of all keys of an owner. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_invalidate_owner(
    keyring: Option<&keystile_keyring>,
    owner: *const c_char,
    owner_len: usize,
) -> keystile_status {
    guard(|| {
        let keyring = non_null(keyring)?;
        keyring.0.core()?.invalidate_owner(text!(owner, owner_len)?);
        Ok(())
    })
}

/// Invalidates all cached records. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_invalidate_all(
    keyring: Option<&keystile_keyring>,
) -> keystile_status {
    guard(|| {
        non_null(keyring)?.0.core()?.invalidate_all();
        Ok(())
    })
}

/// Invalidates all cached records and forgets which versions were seen. Call it after
/// the store was restored from a backup: its records are older than the cached ones, so
/// `keystile_keyring_admit` would take them for those of a replica that lags, and ask
/// for them again and again. Revocations that the backup does not have are forgotten
/// too. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_reset(keyring: Option<&keystile_keyring>) -> keystile_status {
    guard(|| {
        non_null(keyring)?.0.core()?.reset();
        Ok(())
    })
}

/// Reads the counters.
///
/// `out_stats`: set its `struct_size` before the call. Returns `KEYSTILE_OK` or
/// `KEYSTILE_ERROR_STRUCT_SIZE`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_stats_of(
    keyring: Option<&keystile_keyring>,
    out_stats: *mut keystile_keyring_stats,
) -> keystile_status {
    guard(|| {
        let stats = non_null(keyring)?.0.core()?.stats();
        let stats = keystile_keyring_stats::of(&stats);
        put_sized!(out_stats, stats)
    })
}

/// Frees a keyring, which no other thread may be using; NULL is allowed. Uses that were
/// not drained are lost. Values that it keeps are released; those that were handed out stay
/// valid until the caller releases them.
///
/// In a child of the process that made the keyring this does nothing: the child's copy of the
/// memory, and the values in it, stay until the child ends or calls `exec`.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_free(keyring: Option<Box<keystile_keyring>>) {
    // A copy in a child may be in any state, so its memory is given up.
    match keyring {
        Some(keyring) if keyring.0.is_forked() => core::mem::forget(keyring),
        keyring => release(keyring),
    }
}

/// An output that was not written must not be the value of an earlier call.
#[inline(always)]
fn clear(out_value: &mut Out<'_, *mut c_void>) {
    if let Some(slot) = out_value {
        slot.write(null_mut());
    }
}

/// Writes the result of a check.
//
// store-forwarding stall: by reference (see ARCHITECTURE.md)
#[inline(always)]
pub(crate) fn write(
    check: &mut Check<'_, Option<Value>>,
    out_decision: Out<'_, keystile_decision>,
    out_value: Out<'_, *mut c_void>,
    out_ticket: &mut MaybeUninit<keystile_ticket>,
) -> CallResult {
    match check {
        Check::Decided(decision, value) => {
            let outcome = write_decision(decision, out_decision);
            if outcome.is_ok()
                && let Some(out_value) = out_value
            {
                let value = value.take().flatten();
                out_value.write(value.map_or(null_mut(), Value::hand_over));
            }
            outcome
        }
        Check::NeedsRecord(ticket) => write_ticket(ticket, out_ticket),
        Check::NeedsTokens(ticket) => write_token_ticket(ticket, out_ticket),
    }
}

/// Writes what to fetch.
#[cold]
fn write_ticket(ticket: &Ticket<'_>, out_ticket: &mut MaybeUninit<keystile_ticket>) -> CallResult {
    out_ticket.write(keystile_ticket {
        private_as_of: ticket.as_of(),
        private_lookup: keystile_lookup::of(ticket.lookup()),
    });
    Err(KEYSTILE_NEEDS_RECORD)
}
