//! The hot path: records in memory, decisions never.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Check, Decision, Keyring, Millis, Ticket};

use crate::boundary::{
    Outcome, begins_with_its_size, bytes, guard, non_null, release, sized, sized_out, text,
};
use crate::decision::{keystile_decision, tell};
use crate::key::keystile_lookup;
use crate::record::keystile_record;
use crate::request::keystile_request;
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_id};
use crate::verify::keystile_verifier;

/// An in-process verifier for many threads: it keeps the records of keys that were proved,
/// judges each request anew by them, and asks for a record when it has none. Handle; all
/// its functions but `keystile_keyring_free` may be called by any threads at once.
#[derive(Debug)]
pub struct keystile_keyring(pub(crate) Keyring);

/// Stands for no time at all, where 0 stands for the default.
pub const KEYSTILE_DURATION_NONE: u64 = u64::MAX;

/// How a keyring is set up. What is left at 0 is the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_keyring_options {
    /// `sizeof(keystile_keyring_options)`.
    pub struct_size: usize,
    /// Records that are kept at most: 1 to 100,000,000; by default 100,000.
    pub capacity: u64,
    /// How long a record is used without asking again: 1 ms to a day; by default 300 s.
    pub ttl_millis: u64,
    /// How long a key that the store did not know is refused without asking again: no
    /// longer than the TTL; by default 10 s. `KEYSTILE_DURATION_NONE` for not at all.
    pub absent_ttl_millis: u64,
    /// By how much the clock may step back without reviving what was seen expired; by
    /// default 60 s. `KEYSTILE_DURATION_NONE` for not at all.
    pub clock_skew_millis: u64,
}

begins_with_its_size!(keystile_keyring_options);

/// A check that waits for its record. It holds no pointer and no part of a secret, and
/// needs not be freed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_ticket {
    /// What was invalidated before the fetch began; not to be looked into.
    pub as_of: u64,
    /// What to ask the store for.
    pub lookup: keystile_lookup,
}

/// What a keyring has done so far, and what it holds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_keyring_stats {
    /// `sizeof(keystile_keyring_stats)`.
    pub struct_size: usize,
    /// Records that are kept.
    pub entries: u64,
    /// Checks that asked for a record.
    pub fetches: u64,
    /// Fetches that an invalidation overtook, and that were asked for again.
    pub overtaken: u64,
    /// Records that were evicted for want of room.
    pub evictions: u64,
    /// Invalidations of ids, owners and everything.
    pub invalidations: u64,
    /// Checks that were refused by what a store said shortly before.
    pub absent_hits: u64,
    /// Uses that were lost because nobody drained them.
    pub uses_lost: u64,
}

begins_with_its_size!(keystile_keyring_stats);

/// A keyring for the keys that a verifier accepts.
///
/// `verifier`: copied.
/// `options`: NULL for the defaults.
/// `out_keyring`: receives a handle, to be freed with `keystile_keyring_free`.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_LIMIT` where an option is out of its range, or
/// `KEYSTILE_ERROR_RANDOMNESS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_new(
    verifier: Option<&keystile_verifier>,
    options: *const keystile_keyring_options,
    out_keyring: Option<&mut MaybeUninit<Option<Box<keystile_keyring>>>>,
) -> keystile_status {
    guard(|| {
        let (verifier, out_keyring) = (non_null(verifier)?, non_null(out_keyring)?);
        let mut builder = Keyring::builder(verifier.0.clone());
        if !options.is_null() {
            let options: &keystile_keyring_options = sized!(options)?;
            if let Some(capacity) = default_for_0(options.capacity) {
                builder = builder.capacity(usize::try_from(capacity).unwrap_or(usize::MAX));
            }
            if let Some(ttl) = default_for_0(options.ttl_millis) {
                builder = builder.ttl(Millis::new(ttl));
            }
            if let Some(ttl) = default_for_0(options.absent_ttl_millis) {
                builder = builder.absent_ttl(millis_or_zero(ttl));
            }
            if let Some(skew) = default_for_0(options.clock_skew_millis) {
                builder = builder.clock_skew(millis_or_zero(skew));
            }
        }
        out_keyring.write(Some(Box::new(keystile_keyring(builder.build()?))));
        Ok(())
    })
}

/// Decides by a record that is kept, or says which one to fetch. The status that it returns
/// is the decision: the request may go on only where that is `KEYSTILE_OK`. An allow makes no
/// allocation and takes no lock.
///
/// `key`, `key_len`: the bytes as they were presented, of any length and content.
/// `request`: what the caller wants to do.
/// `now`: milliseconds since 1970; one reading of the clock for check and admit.
/// `out_decision`: receives the details of an allow or a refusal. May be NULL.
/// `out_ticket`: receives what to fetch, with `KEYSTILE_NEEDS_RECORD` alone.
///
/// Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, `KEYSTILE_NEEDS_RECORD`, or an error,
/// which is no allow either.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_check(
    keyring: Option<&keystile_keyring>,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    now: u64,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    out_ticket: Option<&mut MaybeUninit<keystile_ticket>>,
) -> keystile_status {
    guard(|| {
        let (keyring, out_ticket) = (&non_null(keyring)?.0, non_null(out_ticket)?);
        let (request, key): (&keystile_request<'_>, &[u8]) =
            (sized!(request)?, bytes!(key, key_len)?);
        let now = instant(now)?;
        // By reference: a check is large, and a move would be a copy.
        request.ask(|request| match &keyring.check(key, request, now) {
            Check::Decided(decision) => tell(decision, out_decision),
            Check::NeedsRecord(ticket) => wait(ticket, out_ticket),
        })
    })
}

/// Decides by the record that was fetched for a ticket, and keeps it.
///
/// Where an invalidation overtook the fetch, or it brought an older version than was kept,
/// the answer is another ticket: fetch again. Give up after some rounds and refuse with
/// `KEYSTILE_CAUSE_STORE_UNAVAILABLE`; never allow.
///
/// `ticket`: from the check of the same key and request by this keyring. May be the same
/// struct as `out_ticket`.
/// `key`, `key_len`, `request`, `now`: as for the check.
/// `record`: what the store has now; NULL where it has none.
/// `out_decision`, `out_ticket`: as for the check.
///
/// Returns as `keystile_keyring_check`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_admit(
    keyring: Option<&keystile_keyring>,
    ticket: *const keystile_ticket,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    record: Option<&keystile_record>,
    now: u64,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    out_ticket: Option<&mut MaybeUninit<keystile_ticket>>,
) -> keystile_status {
    guard(|| {
        let keyring = &non_null(keyring)?.0;
        // Read before the output is looked at: the two may be the same.
        let as_of = non_null(bytes!(ticket, size_of::<u64>())?.first_chunk())?;
        let (as_of, out_ticket) = (u64::from_ne_bytes(*as_of), non_null(out_ticket)?);
        let (request, key): (&keystile_request<'_>, &[u8]) =
            (sized!(request)?, bytes!(key, key_len)?);
        let now = instant(now)?;
        request.ask(|request| {
            let ticket = match keyring.ticket(key, request, as_of) {
                Ok(ticket) => ticket,
                Err(denial) => return tell(&Decision::Deny(denial), out_decision),
            };
            match &keyring.admit(ticket, record.map(|record| &record.0), now) {
                Check::Decided(decision) => tell(decision, out_decision),
                Check::NeedsRecord(ticket) => wait(ticket, out_ticket),
            }
        })
    })
}

/// Voids what is kept of a key, and fetches of it that are under way. Once it has returned,
/// no call that begins later gets a decision from an older record. Call it after each change
/// that the store has accepted, and after issuing.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_KEY_ID`.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_invalidate(
    keyring: Option<&keystile_keyring>,
    key_id: Option<&keystile_id>,
) -> keystile_status {
    guard(|| {
        let (keyring, id) = (non_null(keyring)?, non_null(key_id)?.core()?);
        keyring.0.invalidate(&id);
        Ok(())
    })
}

/// Voids what is kept of all keys of an owner, at once. Returns `KEYSTILE_OK`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_invalidate_owner(
    keyring: Option<&keystile_keyring>,
    owner: *const c_char,
    owner_len: usize,
) -> keystile_status {
    guard(|| {
        let keyring = non_null(keyring)?;
        keyring.0.invalidate_owner(text!(owner, owner_len)?);
        Ok(())
    })
}

/// Voids all that is kept, at once. Returns `KEYSTILE_OK`.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_invalidate_all(
    keyring: Option<&keystile_keyring>,
) -> keystile_status {
    guard(|| {
        non_null(keyring)?.0.invalidate_all();
        Ok(())
    })
}

/// Voids all that is kept, and forgets which versions were seen: for a store that was put
/// back from a backup, whose records are older than those that were kept. They would else be
/// taken for those of a replica that lags, for which `keystile_keyring_admit` asks again and
/// again. A revocation that the backup does not have is forgotten with the rest. Returns
/// `KEYSTILE_OK`.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_reset(keyring: Option<&keystile_keyring>) -> keystile_status {
    guard(|| {
        non_null(keyring)?.0.reset();
        Ok(())
    })
}

/// What was done so far, and what is held.
///
/// `out_stats`: its `struct_size` must be set before. Returns `KEYSTILE_OK` or
/// `KEYSTILE_ERROR_STRUCT_SIZE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_stats_of(
    keyring: Option<&keystile_keyring>,
    out_stats: *mut keystile_keyring_stats,
) -> keystile_status {
    guard(|| {
        let (keyring, out_stats) = (non_null(keyring)?, sized_out!(out_stats)?);
        let stats = keyring.0.stats();
        *out_stats = keystile_keyring_stats {
            struct_size: size_of::<keystile_keyring_stats>(),
            entries: u64::try_from(stats.entries).unwrap_or(u64::MAX),
            fetches: stats.fetches,
            overtaken: stats.overtaken,
            evictions: stats.evictions,
            invalidations: stats.invalidations,
            absent_hits: stats.absent_hits,
            uses_lost: stats.uses_lost,
        };
        Ok(())
    })
}

/// Frees a keyring, which no other thread may use any more; NULL is fine. Uses that were
/// not drained are lost.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_free(keyring: Option<Box<keystile_keyring>>) {
    release(keyring);
}

/// Tells what to fetch.
#[cold]
fn wait(ticket: &Ticket<'_>, out_ticket: &mut MaybeUninit<keystile_ticket>) -> Outcome {
    out_ticket.write(keystile_ticket {
        as_of: ticket.as_of(),
        lookup: keystile_lookup::of(ticket.lookup()),
    });
    Err(KEYSTILE_NEEDS_RECORD)
}

fn default_for_0(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

const fn millis_or_zero(millis: u64) -> Millis {
    match millis {
        KEYSTILE_DURATION_NONE => Millis::ZERO,
        millis => Millis::new(millis),
    }
}
