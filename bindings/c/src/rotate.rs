//! Rotation: a successor of the same lineage, and an overlap during which both keys are
//! accepted.

use core::mem::MaybeUninit;

use keystile::{Millis, RotationPolicy, rotate};

use crate::boundary::{begins_with_its_size, bytes, guard, list, non_null, put_sized, sized};
use crate::change::keystile_change;
use crate::error::{Failure, OfField as _, guard_saying, keystile_error};
use crate::flags::{both, flag, number};
use crate::format::keystile_format;
use crate::issue::Source;
use crate::lifetime::{keystile_lifetime_policy, policy_of};
use crate::pepper::{keystile_peppers, ring};
use crate::record::{keystile_record, records};
use crate::status::keystile_status::{self, *};
use crate::text::{instant, optional_instant};

/// The most lead times of notices in a policy.
pub const KEYSTILE_NOTICE_LEADS_MAX: usize = 8;

/// How long keys live and how they are replaced. Start with
/// `keystile_rotation_policy_default`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_rotation_policy {
    /// `sizeof(keystile_rotation_policy)`.
    pub struct_size: usize,
    /// The age at which a key is due for rotation: 1 hour to 90 days. A successor lives as
    /// long as its predecessor was given.
    pub max_age_millis: u64,
    /// How long the old key stays valid beside it; 0 ends it at once.
    pub overlap_millis: u64,
    /// How long the record of an ended key is kept.
    pub retention_millis: u64,
    /// How long before its end a key is due for a notice.
    pub notice_leads_millis: [u64; KEYSTILE_NOTICE_LEADS_MAX],
    /// The number of lead times.
    pub notice_lead_count: u32,
    /// 1 if the first use of the successor ends the overlap, otherwise 0.
    pub end_on_first_use: u8,
    /// 1 to set `latest_end`, otherwise 0: a key that derives from another then gets a successor
    /// that ends no later than itself.
    pub has_latest_end: u8,
    /// 1 for successors that never expire, otherwise 0. With `lifetime_millis` it is an error.
    pub never_expires: u8,
    /// The lifetime of successors, whatever that of their predecessors is; 0 for the same.
    pub lifetime_millis: u64,
    /// When a successor ends at the latest, in milliseconds since 1970; 0 for no such instant.
    /// For a key that derives from another, it is the end of that one.
    pub latest_end: u64,
    /// Optional: how long keys of the service may live. A lifetime that a successor gets from
    /// its predecessor is cut to the longest.
    pub lifetimes: *const keystile_lifetime_policy,
}

begins_with_its_size!(keystile_rotation_policy, grew at lifetime_millis);

/// Reads the default policy: rotation at 90 days of age, an overlap of 7 days, notices 14, 7
/// and 1 days ahead, and records of ended keys kept for 30 days.
///
/// `out_policy`: set its `struct_size` before the call.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_STRUCT_SIZE`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rotation_policy_default(
    out_policy: *mut keystile_rotation_policy,
) -> keystile_status {
    guard(|| {
        let policy = keystile_rotation_policy::of(&RotationPolicy::default());
        put_sized!(out_policy, policy)
    })
}

/// Issues a successor of the same lineage and with the same rights.
///
/// The old key ends with the overlap or at its own expiry, whichever is first. The
/// successor's lifetime starts at `now`.
///
/// `siblings`, `siblings_len`: the other records of the lineage. If one of them is
/// still in its overlap, that ends now: at most two keys of a lineage are live at once.
/// `policy`: NULL for the default.
/// `format`, `peppers`, `random`, `random_len`: as for `keystile_issue`.
/// `out_change`: receives the successor's text, its record, the changed records and the
/// event.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key is revoked, suspended,
/// expired or already replaced; `KEYSTILE_ERROR_RECORD` if a sibling belongs to another
/// lineage; otherwise as `keystile_issue`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_rotate(
    record: Option<&keystile_record>,
    siblings: *const Option<&keystile_record>,
    siblings_len: usize,
    policy: *const keystile_rotation_policy,
    format: Option<&keystile_format>,
    peppers: Option<&keystile_peppers>,
    random: *const u8,
    random_len: usize,
    now: u64,
    out_change: Option<&mut MaybeUninit<Option<Box<keystile_change>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let (record, format) = (&non_null(record)?.0, &non_null(format)?.0);
        let (out_change, now) = (non_null(out_change)?, instant(now).of_field("now")?);
        let siblings = records(list!(siblings, siblings_len)?, "siblings")?;
        let siblings: Vec<_> = siblings.into_iter().cloned().collect();
        let policy = policy_or_default(policy)?;
        let mut random = Source::of(bytes!(random, random_len)?, random.is_null());
        let peppers = ring(peppers);
        let rotated = rotate(
            record,
            &siblings,
            &policy,
            format,
            &peppers,
            &mut random,
            now,
        )?;
        out_change.write(Some(keystile_change::rotated(rotated)));
        Ok(())
    })
}

/// The policy of an argument, or the default.
pub(crate) fn policy_or_default(
    policy: *const keystile_rotation_policy,
) -> Result<RotationPolicy, Failure> {
    if policy.is_null() {
        return Ok(RotationPolicy::default());
    }
    let policy = sized!(policy).of_field("policy")?;
    policy.core()
}

impl keystile_rotation_policy {
    pub(crate) fn of(policy: &RotationPolicy) -> Self {
        let mut leads = [0; KEYSTILE_NOTICE_LEADS_MAX];
        for (slot, lead) in leads.iter_mut().zip(policy.notice_leads()) {
            *slot = lead.get();
        }
        let count = policy.notice_leads().len().min(KEYSTILE_NOTICE_LEADS_MAX);
        Self {
            struct_size: size_of::<Self>(),
            max_age_millis: policy.max_age().get(),
            overlap_millis: policy.overlap().get(),
            retention_millis: policy.retention().get(),
            notice_leads_millis: leads,
            notice_lead_count: u32::try_from(count).unwrap_or(0),
            end_on_first_use: u8::from(policy.ends_on_first_use()),
            has_latest_end: 0,
            never_expires: 0,
            lifetime_millis: 0,
            latest_end: 0,
            lifetimes: core::ptr::null(),
        }
    }

    fn core(&self) -> Result<RotationPolicy, Failure> {
        let count = usize::try_from(self.notice_lead_count).map_err(|_| KEYSTILE_ERROR_VALUE)?;
        let leads = self.notice_leads_millis.get(..count);
        let leads = leads.ok_or(KEYSTILE_ERROR_VALUE)?;
        // The overlap comes last, because it is checked against the age.
        let policy = RotationPolicy::default()
            .with_overlap(Millis::ZERO)?
            .with_max_age(Millis::new(self.max_age_millis))?
            .with_overlap(Millis::new(self.overlap_millis))?;
        let mut policy = policy
            .with_end_on_first_use(flag(self.end_on_first_use, "end_on_first_use")?)
            .with_notice_leads(leads.iter().copied().map(Millis::new))
            .with_retention(Millis::new(self.retention_millis));
        policy = match (
            flag(self.never_expires, "never_expires")?,
            self.lifetime_millis,
        ) {
            (false, 0) => policy,
            (false, lifetime) => policy.with_lifetime(Millis::new(lifetime))?,
            (true, 0) => policy.with_endless_lifetime(),
            (true, _) => return Err(both("lifetime")),
        };
        policy = match number(self.latest_end, self.has_latest_end, "latest_end")? {
            None => policy,
            Some(end) => policy.with_latest_end(optional_instant(end).of_field("latest_end")?),
        };
        match policy_of(self.lifetimes)? {
            None => Ok(policy),
            Some(lifetimes) => Ok(policy.within(&lifetimes)?),
        }
    }
}
