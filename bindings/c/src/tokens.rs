//! Tokens of rate limits that are counted in one place for several processes.

use core::ffi::{c_char, c_void};
use core::mem::{MaybeUninit, offset_of, size_of};
use core::ptr::null_mut;

use keystile::{Grant, KeyId, Millis, RateLimit, RateState, TokenTicket, UnusedTokens};

use crate::boundary::{
    CallResult, begins_with_its_size, bytes, guard, guard_or, non_null, output, release, sized,
};
use crate::decision::{guard_deciding, keystile_decision};
use crate::key::keystile_lookup;
use crate::keyring::{keystile_keyring, keystile_ticket, write};
use crate::limit::keystile_rate_limit;
use crate::request::keystile_request;
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_id};

/// What to take of a rate limit that is counted elsewhere.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_token_request {
    /// The key.
    pub key_id: keystile_id,
    /// Its lineage, whose keys share one state of the limit.
    pub lineage: keystile_id,
    /// The limit of the key.
    pub limit: keystile_rate_limit,
    /// How many tokens to take, at least 1: more if the last ones were used up early.
    pub tokens: u32,
}

/// What taking tokens came to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_grant {
    /// `sizeof(keystile_grant)`.
    pub struct_size: usize,
    /// The state of the limit afterwards, by the clock of `now`: see `keystile_rate_state_move`.
    pub state: u64,
    /// By the clock of `now`: an instant from before the tokens were asked for.
    pub asked_at: u64,
    /// When they were taken, by the clock of the limits, in milliseconds since 1970.
    pub taken_at: u64,
    /// How many were taken; 0 is a refusal.
    pub tokens: u32,
    /// 1: they could not be taken, and all other fields are 0. The share of this process decides,
    /// see `lease_share`.
    pub degraded: u8,
}

begins_with_its_size!(keystile_grant);

/// Tokens that were taken and not used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_unused_tokens {
    /// The lineage that they were taken for.
    pub lineage: keystile_id,
    /// The limit that they were taken of.
    pub limit: keystile_rate_limit,
    /// How many.
    pub tokens: u32,
    /// When they were taken, by the clock of the limits.
    pub taken_at: u64,
    /// Until how long after that the limits take them back, by their clock.
    pub within_millis: u64,
}

/// Tokens that are to be given back. Handle; it never changes, and threads may share it.
#[derive(Debug)]
pub struct keystile_rest(Vec<UnusedTokens>);

/// Reads what to take for a ticket that came with `KEYSTILE_NEEDS_TOKENS`.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if the ticket is one for a record.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_ticket_tokens(
    ticket: Option<&keystile_ticket>,
    out_tokens: Option<&mut MaybeUninit<keystile_token_request>>,
) -> keystile_status {
    guard(|| {
        let (ticket, out_tokens) = (non_null(ticket)?, non_null(out_tokens)?);
        let asked = Asked::of(&ticket.private_lookup.private_room)?;
        out_tokens.write(asked.request());
        Ok(())
    })
}

/// Decides a check that needed tokens, with what was taken for it. The request itself has the
/// first of them, and later requests of the key have the others.
///
/// The request is judged again: if the key was changed meanwhile, this is a refusal or returns
/// another ticket, and the tokens are kept for later requests or are to be given back. Give up
/// after some rounds and refuse with `KEYSTILE_CAUSE_STORE_UNAVAILABLE`; never allow.
///
/// `ticket`: from a check of the same key and request by this keyring, with
/// `KEYSTILE_NEEDS_TOKENS`. May be the same struct as `out_ticket`.
/// `key`, `key_len`, `request`, `now`, `out_decision`, `out_value`, `out_ticket`: as for
/// `keystile_keyring_check`.
///
/// Returns as `keystile_keyring_check`, `KEYSTILE_ERROR_ABSENT` for a ticket for a record,
/// `KEYSTILE_ERROR_VALUE` for a grant that is degraded and has tokens, a state or times, and
/// `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_keyring_grant(
    keyring: Option<&keystile_keyring>,
    ticket: *const keystile_ticket,
    key: *const c_char,
    key_len: usize,
    request: *const keystile_request<'_>,
    grant: *const keystile_grant,
    now: u64,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    mut out_value: Option<&mut MaybeUninit<*mut c_void>>,
    out_ticket: *mut keystile_ticket,
) -> keystile_status {
    if let Some(slot) = &mut out_value {
        slot.write(null_mut());
    }
    guard_deciding(out_decision, |out_decision| {
        let keyring = non_null(keyring)?.0.core()?;
        // Read this before there is a reference to the output: the two may be the same.
        let asked = Asked::of_ticket(ticket)?;
        let out_ticket = non_null(output!(out_ticket))?;
        let (request, key) = (sized!(request)?, bytes!(key, key_len)?);
        let (grant, now) = (sized!(grant)?.core()?, instant(now)?);
        request.ask(|request| {
            let (limit, lineage) = (asked.limit, asked.lineage);
            let ticket = TokenTicket::from_parts(key, request, asked.key_id, lineage, limit);
            let wanted = out_value.is_some();
            let mut check = keyring.grant_with(ticket, grant, now, |value| {
                if wanted { value.clone() } else { None }
            });
            write(&mut check, out_decision, out_value, out_ticket)
        })
    })
}

/// Takes the tokens whose time is over, and those of keys that were evicted or have another limit
/// now, each once and 1,024 entries at most: call it again if there are as many. Call it eight
/// times in each length of a lease. Give them back to the limits, each at most once: do not
/// repeat a call that failed.
///
/// `now`: milliseconds since 1970; 0 takes all that are left, usable or not, before the
/// program ends.
/// `out_rest`: receives a handle; free it with `keystile_rest_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_rest(
    keyring: Option<&keystile_keyring>,
    now: u64,
    out_rest: Option<&mut MaybeUninit<Option<Box<keystile_rest>>>>,
) -> keystile_status {
    guard(|| {
        let (keyring, out_rest) = (non_null(keyring)?.0.core()?, non_null(out_rest)?);
        let rest = match now {
            0 => keyring.all_unused_tokens(),
            now => keyring.unused_tokens(instant(now)?),
        };
        out_rest.write(Some(Box::new(keystile_rest(rest))));
        Ok(())
    })
}

/// Returns the number of entries; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rest_count(rest: Option<&keystile_rest>) -> usize {
    guard_or(0, || Some(rest?.0.len()))
}

/// Reads the tokens at an index. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rest_at(
    rest: Option<&keystile_rest>,
    index: usize,
    out_unused: Option<&mut MaybeUninit<keystile_unused_tokens>>,
) -> keystile_status {
    guard(|| {
        let (rest, out_unused) = (non_null(rest)?, non_null(out_unused)?);
        let unused = rest.0.get(index).ok_or(KEYSTILE_ERROR_INDEX)?;
        out_unused.write(keystile_unused_tokens {
            lineage: keystile_id::of(&unused.lineage),
            limit: keystile_rate_limit::of(&unused.limit),
            tokens: unused.tokens,
            taken_at: unused.taken_at.get(),
            within_millis: unused.within.get(),
        });
        Ok(())
    })
}

/// Frees what `keystile_keyring_rest` returned; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_rest_free(rest: Option<Box<keystile_rest>>) {
    release(rest);
}

impl keystile_grant {
    fn core(&self) -> Result<Grant, keystile_status> {
        let is_zero = [self.state, self.asked_at, self.taken_at, self.tokens.into()] == [0; 4];
        match (self.degraded, is_zero) {
            (0, _) => {}
            (1, true) => return Ok(Grant::degraded()),
            _ => return Err(KEYSTILE_ERROR_VALUE),
        }
        let state = RateState::from_bits(self.state);
        let (asked_at, taken_at) = (instant(self.asked_at)?, instant(self.taken_at)?);
        Ok(Grant::new(self.tokens, state, asked_at, taken_at))
    }
}

/// What a ticket for tokens holds, in the room of its lookup.
pub(crate) struct Asked {
    key_id: KeyId,
    lineage: KeyId,
    limit: RateLimit,
    tokens: u32,
}

/// The room of a lookup.
type Room = [u64; 8];

impl Asked {
    pub(crate) fn by(ticket: &TokenTicket<'_>) -> Self {
        Self {
            key_id: ticket.key_id(),
            lineage: ticket.lineage(),
            limit: ticket.limit(),
            tokens: ticket.tokens(),
        }
    }

    pub(crate) fn request(&self) -> keystile_token_request {
        keystile_token_request {
            key_id: keystile_id::of(&self.key_id),
            lineage: keystile_id::of(&self.lineage),
            limit: keystile_rate_limit::of(&self.limit),
            tokens: self.tokens,
        }
    }

    pub(crate) fn room(&self) -> Room {
        let (limit, burst) = (u64::from(self.limit.limit()), u64::from(self.limit.burst()));
        let [a, b] = halves(&self.key_id);
        let [c, d] = halves(&self.lineage);
        let window = self.limit.window().get();
        [
            self.tokens.into(),
            limit << 32 | burst,
            window,
            a,
            b,
            c,
            d,
            0,
        ]
    }

    fn of(room: &Room) -> Result<Self, keystile_status> {
        let [tokens, limit, window, a, b, c, d, _] = *room;
        let number = |number: u64| u32::try_from(number).map_err(|_| KEYSTILE_ERROR_ABSENT);
        let (burst, limit) = (number(limit & u64::from(u32::MAX))?, number(limit >> 32)?);
        if tokens == 0 {
            return Err(KEYSTILE_ERROR_ABSENT);
        }
        Ok(Self {
            key_id: id_of([a, b])?,
            lineage: id_of([c, d])?,
            limit: RateLimit::with_burst(limit, Millis::new(window), burst)?,
            tokens: number(tokens)?,
        })
    }

    fn of_ticket(ticket: *const keystile_ticket) -> Result<Self, keystile_status> {
        const AT: usize =
            offset_of!(keystile_ticket, private_lookup) + offset_of!(keystile_lookup, private_room);
        if ticket.is_null() {
            return Err(KEYSTILE_ERROR_NULL_POINTER);
        }
        let room = ticket.cast::<u8>().wrapping_add(AT);
        let room = bytes!(room, size_of::<Room>())?;
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(room.chunks_exact(8)) {
            *word = u64::from_ne_bytes(*non_null(bytes.first_chunk())?);
        }
        Self::of(&words)
    }
}

fn halves(id: &KeyId) -> [u64; 2] {
    let mut halves = [0; 2];
    for (half, bytes) in halves.iter_mut().zip(id.as_bytes().chunks_exact(8)) {
        *half = bytes
            .first_chunk()
            .map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    }
    halves
}

fn id_of(halves: [u64; 2]) -> Result<KeyId, keystile_status> {
    let [first, last] = halves.map(u64::to_ne_bytes);
    Ok(KeyId::from_bytes(&[first, last].concat())?)
}

/// Writes what to take.
#[cold]
pub(crate) fn write_token_ticket(
    ticket: &TokenTicket<'_>,
    out_ticket: &mut MaybeUninit<keystile_ticket>,
) -> CallResult {
    let asked = Asked::by(ticket);
    let mut private_lookup = keystile_lookup::of_id(&asked.key_id);
    private_lookup.private_room = asked.room();
    out_ticket.write(keystile_ticket {
        private_as_of: 0,
        private_lookup,
    });
    Err(KEYSTILE_NEEDS_TOKENS)
}
