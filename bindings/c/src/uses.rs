//! The uses that a keyring recorded, for a store to write in bulk.

use core::mem::MaybeUninit;

use keystile::{Usage, Use};

use crate::boundary::{guard, guard_or, non_null, release};
use crate::keyring::keystile_keyring;
use crate::record::{keystile_record, keystile_usage};
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_id, millis};

/// Uses that were drained from a keyring. Handle; it never changes, and threads may
/// share it.
#[derive(Debug)]
pub struct keystile_uses(Vec<Use>);

/// How many times a key was used since the last drain.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_use {
    /// The key.
    pub key_id: keystile_id,
    /// Its lineage, which uses are counted for.
    pub lineage: keystile_id,
    /// When it was last used, to the second; 0 if that is not known.
    pub last_used_at: u64,
    /// The number of uses.
    pub count: u64,
    /// The state of its rate limit, which the lineage shares; 0 if it has no limit. It is not
    /// worth writing if `keystile_rate_state_full_at` is less than two seconds away.
    ///
    /// Of this and the state that the store has, the store keeps the greater one, unless that
    /// lies further ahead of the store's clock than `reach_millis` and a minute: then it is of
    /// another limit or of a wrong clock, and is replaced.
    pub rate_state: u64,
    /// How far ahead of the clock a state of its limit can lie; 0 if it has no limit.
    pub reach_millis: u64,
}

/// Drains the uses since the last call. Each is returned only once: call this every few
/// seconds, and once before the program ends; every key that was used since is named.
///
/// `out_uses`: receives a handle; free it with `keystile_uses_free`. Returns
/// `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_drain_uses(
    keyring: Option<&keystile_keyring>,
    out_uses: Option<&mut MaybeUninit<Option<Box<keystile_uses>>>>,
) -> keystile_status {
    guard(|| {
        let (keyring, out_uses) = (non_null(keyring)?, non_null(out_uses)?);
        out_uses.write(Some(Box::new(keystile_uses(
            keyring.0.core()?.drain_uses(),
        ))));
        Ok(())
    })
}

/// Reads what the lineage of a record's key has spent as the next decision of a keyring would
/// see it, for `keystile_explain`: what the store has, or what the keyring has counted if that
/// is more, since the store has what was drained and written, and so may be behind. Nothing is
/// spent.
///
/// A state that another limit left counts as one full burst of the record's limit at most.
///
/// `usage`: what the store has; its rate state is by the clock of `now`, see
/// `keystile_rate_state_move`. NULL if it knows of none.
/// `now`: milliseconds since 1970.
/// `out_usage`: receives the usage by the same clock; another struct than `usage`.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_keyring_usage(
    keyring: Option<&keystile_keyring>,
    record: Option<&keystile_record>,
    usage: Option<&keystile_usage>,
    now: u64,
    out_usage: Option<&mut MaybeUninit<keystile_usage>>,
) -> keystile_status {
    guard(|| {
        let (keyring, record) = (non_null(keyring)?, &non_null(record)?.0);
        let stored = usage.map(keystile_usage::core).transpose()?;
        let stored = stored.unwrap_or_else(|| Usage::of(record));
        let usage = keyring.0.core()?.usage(record, stored, instant(now)?);
        non_null(out_usage)?.write(keystile_usage::of(&usage));
        Ok(())
    })
}

/// Returns the number of keys that were used; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_uses_count(uses: Option<&keystile_uses>) -> usize {
    guard_or(0, || Some(uses?.0.len()))
}

/// Reads the uses of the key at an index. Returns `KEYSTILE_OK`, or
/// `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_uses_at(
    uses: Option<&keystile_uses>,
    index: usize,
    out_use: Option<&mut MaybeUninit<keystile_use>>,
) -> keystile_status {
    guard(|| {
        let (uses, out_use) = (non_null(uses)?, non_null(out_use)?);
        let used = uses.0.get(index).ok_or(KEYSTILE_ERROR_INDEX)?;
        out_use.write(keystile_use {
            key_id: keystile_id::of(&used.key_id),
            lineage: keystile_id::of(&used.lineage),
            last_used_at: millis(used.last_used_at),
            count: used.count,
            rate_state: used.rate.unwrap_or_default().to_bits(),
            reach_millis: used.reach.get(),
        });
        Ok(())
    })
}

/// Frees uses; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_uses_free(uses: Option<Box<keystile_uses>>) {
    release(uses);
}
