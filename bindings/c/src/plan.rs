//! Which keys are due for a notice, a rotation or a clean-up.

use core::mem::MaybeUninit;

use keystile::{Millis, PlanAction, PlanItem, UnixMillis, plan};

use crate::boundary::{list, non_null, out_list};
use crate::error::{OfField as _, guard_saying, keystile_error};
use crate::record::{self, keystile_record};
use crate::rotate::{keystile_rotation_policy, policy_or_default};
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_id};

/// An action that is due for a key.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_plan_action {
    /// Its owner should be told that it is about to end, once for each pair of key and
    /// lead time.
    KEYSTILE_PLAN_NOTICE = 1,
    /// It should be rotated.
    KEYSTILE_PLAN_ROTATE = 2,
    /// It has ended, and its record need no longer be kept.
    KEYSTILE_PLAN_CLEAN_UP = 3,
    /// An action that has no number in this version.
    KEYSTILE_PLAN_OTHER = 99,
}

use keystile_plan_action::*;

/// A key, and the action that is due for it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_plan_item {
    /// The key.
    pub key_id: keystile_id,
    /// A `keystile_plan_action`.
    pub action: u32,
    /// When it ends or ended, in milliseconds since 1970.
    pub at: u64,
    /// For a notice: the shortest lead time that has been reached; otherwise 0.
    pub lead_millis: u64,
}

/// Lists the actions that are due at `now`, in the order of the records. The result
/// depends only on the arguments.
///
/// `records`, `records_len`: the records.
/// `policy`: NULL for the default.
/// `items`, `items_len`: receives the actions; two for each record are always enough. May
/// be NULL and 0 to ask for their number.
/// `out_count`: receives the number of actions, also if the list is too short.
///
/// Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_BUFFER_TOO_SMALL` or `KEYSTILE_ERROR_TIME`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_plan(
    records: *const Option<&keystile_record>,
    records_len: usize,
    policy: *const keystile_rotation_policy,
    now: u64,
    items: *mut keystile_plan_item,
    items_len: usize,
    out_count: Option<&mut MaybeUninit<usize>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let records = record::records(list!(records, records_len)?, "records")?;
        let (policy, now) = (policy_or_default(policy)?, instant(now).of_field("now")?);
        let (slots, out_count) = (out_list!(items, items_len)?, non_null(out_count)?);
        let found = plan(records, &policy, now);
        out_count.write(found.len());
        let slots = slots.get_mut(..found.len());
        let slots = slots.ok_or(KEYSTILE_ERROR_BUFFER_TOO_SMALL)?;
        for (slot, item) in slots.iter_mut().zip(&found) {
            slot.write(keystile_plan_item::of(item));
        }
        Ok(())
    })
}

impl keystile_plan_item {
    fn of(item: &PlanItem) -> Self {
        let (action, at, lead): (_, Option<UnixMillis>, Millis) = match item.action {
            PlanAction::Notice { ends_at, lead } => (KEYSTILE_PLAN_NOTICE, Some(ends_at), lead),
            PlanAction::Rotate { ends_at } => (KEYSTILE_PLAN_ROTATE, Some(ends_at), Millis::ZERO),
            PlanAction::CleanUp { ended_at } => {
                (KEYSTILE_PLAN_CLEAN_UP, Some(ended_at), Millis::ZERO)
            }
            _ => (KEYSTILE_PLAN_OTHER, None, Millis::ZERO),
        };
        Self {
            key_id: keystile_id::of(&item.key_id),
            action: action as u32,
            at: crate::text::millis(at),
            lead_millis: lead.get(),
        }
    }
}
