//! The words of numbers, as the tables, events and logs of keystile have them.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;

use keystile::{Denial, EventKind, KeyId, ScopeTemplate};

use crate::boundary::{bytes, guard, guard_or, non_null, text};
use crate::change::keystile_event_kind;
use crate::decision::core_cause;
use crate::error::{guard_saying, keystile_error};
use crate::issue::Source;
use crate::record_parts::keystile_state::*;
use crate::response::core_policy;
use crate::status::keystile_status::{self, *};
use crate::text::{keystile_id, keystile_str, nth};

const UNKNOWN: &CStr = c"unknown";

/// Returns the word of a `keystile_event_kind`, such as `revoked`, for a column of a table. It is
/// static and ends in NUL; `unknown` for another number.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_event_kind_name(kind: u32) -> *const c_char {
    guard_or(UNKNOWN.as_ptr(), || {
        let found = EVENTS.iter().find(|(number, _)| *number as u32 == kind);
        found.map(|(_, name)| name.as_ptr())
    })
}

/// Finds the `keystile_event_kind` of a word.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if this version has no such kind.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_event_kind_parse(
    name: *const c_char,
    name_len: usize,
    out_kind: Option<&mut MaybeUninit<u32>>,
) -> keystile_status {
    guard(|| {
        let out_kind = non_null(out_kind)?;
        let kind = EventKind::from_name(text!(name, name_len)?).ok_or(KEYSTILE_ERROR_ABSENT)?;
        out_kind.write(keystile_event_kind::of(kind) as u32);
        Ok(())
    })
}

/// Returns the word of a `keystile_state`: `active`, `suspended` or `revoked`. It is static and ends
/// in NUL; `unknown` for another number.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_state_name(state: u32) -> *const c_char {
    guard_or(UNKNOWN.as_ptr(), || {
        let names = [
            (KEYSTILE_STATE_ACTIVE, c"active"),
            (KEYSTILE_STATE_SUSPENDED, c"suspended"),
            (KEYSTILE_STATE_REVOKED, c"revoked"),
        ];
        let found = names.iter().find(|(number, _)| *number as u32 == state);
        found.map(|(_, name)| name.as_ptr())
    })
}

/// Reads the HTTP status of a refusal by its `keystile_cause`, without a decision.
///
/// `policy`: a `keystile_status_policy`.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` if a number is not one of its enumeration.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_cause_http_status(
    cause: u32,
    policy: u32,
    out_status: Option<&mut MaybeUninit<u16>>,
) -> keystile_status {
    guard(|| {
        let cause = core_cause(cause).ok_or(KEYSTILE_ERROR_VALUE)?;
        let status = Denial::new(cause).code().status(core_policy(policy)?);
        non_null(out_status)?.write(status);
        Ok(())
    })
}

/// Reads the name of the preset of templates at an index, for `keystile_template_preset`. It is
/// static.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_template_preset_name_at(
    index: usize,
    out_name: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| nth(ScopeTemplate::preset_names(), index, out_name))
}

/// Makes a random key id, such as for a record of a key that was issued elsewhere.
///
/// `random`, `random_len`: as for `keystile_issue`; 64 bytes are always enough.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_RANDOMNESS`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_id_random(
    random: *const u8,
    random_len: usize,
    out_id: Option<&mut MaybeUninit<keystile_id>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_id = non_null(out_id)?;
        let mut source = Source::of(bytes!(random, random_len)?, random.is_null());
        out_id.write(keystile_id::of(&KeyId::random(&mut source)?));
        Ok(())
    })
}

const EVENTS: [(keystile_event_kind, &CStr); 11] = {
    use keystile_event_kind::*;
    [
        (KEYSTILE_EVENT_ISSUED, c"issued"),
        (KEYSTILE_EVENT_ROTATED, c"rotated"),
        (KEYSTILE_EVENT_REVOKED, c"revoked"),
        (KEYSTILE_EVENT_SUSPENDED, c"suspended"),
        (KEYSTILE_EVENT_RESUMED, c"resumed"),
        (KEYSTILE_EVENT_EXPIRED, c"expired"),
        (KEYSTILE_EVENT_REHASHED, c"rehashed"),
        (KEYSTILE_EVENT_IMPORTED, c"imported"),
        (KEYSTILE_EVENT_CHANGED, c"changed"),
        (KEYSTILE_EVENT_DELETED, c"deleted"),
        (KEYSTILE_EVENT_PRUNED, c"pruned"),
    ]
};
