//! Which keys are due for a notice, a rotation or a clean-up.

use alloc::vec::Vec;

use crate::key::id::KeyId;
use crate::lifecycle::rotation_policy::RotationPolicy;
use crate::record::key_record::{KeyRecord, Status};
use crate::time::{Millis, UnixMillis};

/// A key, and what is due for it.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// let request = IssueRequest::new("Acme")?;
/// let soon = issuer.issue(&request.clone().expires_in(Millis::from_days(8))?, &mut SysRng, now)?;
/// let later = issuer.issue(&request, &mut SysRng, now)?;
/// let due = plan([&soon.record, &later.record], &RotationPolicy::default(), now);
/// let due: Vec<KeyId> = due.iter().map(|item| item.key_id).collect();
/// assert_eq!(due, [soon.record.id], "nothing is due for a key that ends in 90 days");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanItem {
    /// The key.
    pub key_id: KeyId,
    /// What is due.
    pub action: PlanAction,
}

/// What is due for a key.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let request = IssueRequest::new("Acme")?;
/// let policy = RotationPolicy::default(); // an overlap of 7 days, records kept for 30
/// let ends_at = now.plus(Millis::from_days(90))?;
/// let record = issuer.issue(&request, &mut SysRng, now)?.record;
/// let due_on = |day| {
///     let now = now.plus(Millis::from_days(day))?;
///     Ok::<_, Error>(plan([&record], &policy, now).into_iter().map(|item| item.action).last())
/// };
/// assert_eq!(due_on(75)?, None);
/// assert_eq!(due_on(84)?, Some(PlanAction::Rotate { ends_at }));
/// assert_eq!(due_on(120)?, Some(PlanAction::CleanUp { ended_at: ends_at }));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanAction {
    /// Its owner should be notified that it ends.
    Notice {
        /// When it ends.
        ends_at: UnixMillis,
        /// The shortest lead time that has been reached. Send one notice for each pair
        /// of key and lead.
        lead: Millis,
    },
    /// It should be rotated now, so that its overlap fits in before it ends.
    Rotate {
        /// When it ends, or reaches the maximum age of the policy.
        ends_at: UnixMillis,
    },
    /// It has ended, and its record is no longer needed.
    CleanUp {
        /// When it ended.
        ended_at: UnixMillis,
    },
}

/// What is due at `now`, in the order of the records. This is a pure function: the same
/// arguments give the same items.
///
/// A key is due for rotation as soon as its overlap would reach its end. A key that was
/// replaced, suspended or revoked gets neither a rotation nor a notice.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let none = PepperRing::none();
/// let request = IssueRequest::new("Acme")?.expires_in(Millis::from_days(10))?;
/// let record = issue(&format, &none, &request, &mut SysRng, now)?.record;
/// let due = plan(&[record], &RotationPolicy::default(), now);
/// assert!(matches!(due[..], [PlanItem { action: PlanAction::Notice { lead, .. }, .. }]
///     if lead == Millis::from_days(14)));
/// # Ok::<(), Error>(())
/// ```
#[must_use]
pub fn plan<'r, I>(records: I, policy: &RotationPolicy, now: UnixMillis) -> Vec<PlanItem>
where
    I: IntoIterator<Item = &'r KeyRecord>,
{
    let mut due = Vec::new();
    for record in records {
        due.extend(
            actions(record, policy, now)
                .into_iter()
                .flatten()
                .map(|action| PlanItem {
                    key_id: record.id,
                    action,
                }),
        );
    }
    due
}

fn actions(
    record: &KeyRecord,
    policy: &RotationPolicy,
    now: UnixMillis,
) -> [Option<PlanAction>; 2] {
    let ended_at = match record.status {
        Status::Revoked { at, .. } => Some(at),
        _ => record.ends_at().filter(|&end| now >= end),
    };
    if let Some(ended_at) = ended_at {
        let over = now.since(ended_at) >= policy.retention();
        return [over.then_some(PlanAction::CleanUp { ended_at }), None];
    }
    if record.status != Status::Active || record.replaced_by.is_some() {
        return [None, None];
    }
    let aged = record.created_at.plus(policy.max_age()).ok();
    let notice = record.expires_at.and_then(|ends_at| {
        let left = ends_at.since(now);
        let lead = policy
            .notice_leads()
            .iter()
            .copied()
            .filter(|&lead| left <= lead)
            .min()?;
        Some(PlanAction::Notice { ends_at, lead })
    });
    // As long as the overlap that a rotation would use, so that its successor is not due at once.
    let overlap = policy.overlap_within(policy.lifetime_after(record));
    let ends_at = [record.expires_at, aged].into_iter().flatten().min();
    let rotation = ends_at
        .filter(|end| end.since(now) <= overlap)
        .map(|ends_at| PlanAction::Rotate { ends_at });
    [notice, rotation]
}
