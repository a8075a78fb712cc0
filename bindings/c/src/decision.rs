//! A decision as plain fields: which key was allowed and what is left, or why it was
//! refused.

use core::mem::MaybeUninit;

use keystile::{Allowed, Cause, Decision, Denial, Notice};

use crate::boundary::{CallResult, Out, guard, non_null, write_out};
use crate::limit::keystile_quota;
use crate::requirement::keystile_requirement;
use crate::status::keystile_status::{self, *};
use crate::text::{instant, keystile_id, keystile_str, nth};

/// The kind of a decision. Zeroed memory is none of them.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_decision_kind {
    /// The request may go on.
    KEYSTILE_DECISION_ALLOWED = 0x4b53_0001,
    /// The request is refused.
    KEYSTILE_DECISION_REFUSED = 0x4b53_0002,
}

use keystile_decision_kind::*;

/// Why a request was refused, in detail that only an audit may see.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_cause {
    /// No credential was presented.
    KEYSTILE_CAUSE_MISSING_CREDENTIAL = 1,
    /// Two different credentials were presented.
    KEYSTILE_CAUSE_CONFLICTING_CREDENTIALS = 2,
    /// The text is not a key: its shape or its checksum is wrong.
    KEYSTILE_CAUSE_MALFORMED = 3,
    /// The store has no record of it.
    KEYSTILE_CAUSE_UNKNOWN_KEY = 4,
    /// The store has a record of it, but the secret is wrong.
    KEYSTILE_CAUSE_WRONG_SECRET = 5,
    /// The record's digest was made with a pepper that the ring does not hold.
    KEYSTILE_CAUSE_PEPPER_UNAVAILABLE = 6,
    /// The key is revoked.
    KEYSTILE_CAUSE_REVOKED = 7,
    /// The key is suspended.
    KEYSTILE_CAUSE_SUSPENDED = 8,
    /// The key has expired.
    KEYSTILE_CAUSE_EXPIRED = 9,
    /// The key was replaced, and its overlap is over.
    KEYSTILE_CAUSE_REPLACED = 10,
    /// The key is for another environment.
    KEYSTILE_CAUSE_ENVIRONMENT = 11,
    /// The peer's address is not within the key's networks.
    KEYSTILE_CAUSE_NETWORK = 12,
    /// The path is not canonical.
    KEYSTILE_CAUSE_PATH_NOT_CANONICAL = 13,
    /// No endpoint rule of the key matches.
    KEYSTILE_CAUSE_ENDPOINT = 14,
    /// The key lacks a required permission.
    KEYSTILE_CAUSE_PERMISSION = 15,
    /// The rate limit is exceeded.
    KEYSTILE_CAUSE_RATE_LIMIT = 16,
    /// The key has no uses left.
    KEYSTILE_CAUSE_USES_SPENT = 17,
    /// The store is unavailable.
    KEYSTILE_CAUSE_STORE_UNAVAILABLE = 18,
    /// The store has a record of the key, and it cannot be read.
    KEYSTILE_CAUSE_RECORD_DAMAGED = 19,
    /// There are only texts that do not have the shape of a key, and none in a header that
    /// carries nothing but keys. This is no guess.
    KEYSTILE_CAUSE_ALIEN = 20,
}

use keystile_cause::*;

/// The details of a decision. The status that came with it is the decision; with any other
/// status than `KEYSTILE_OK` and the `KEYSTILE_DENIED_` ones, this struct is zeroed, and no
/// decision.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_decision {
    /// A `keystile_decision_kind`.
    pub kind: u32,
    /// A `keystile_cause`, which only an audit may see; 0 if the request is allowed.
    pub cause: u32,
    /// The key's public id, after its secret was verified; before that, all zero.
    pub key_id: keystile_id,
    /// The first key of its lineage, which usage is counted for; all zero in a refusal.
    pub lineage: keystile_id,
    /// The key that replaces this one, if it is being replaced.
    pub replaced_by: keystile_id,
    /// The predecessor whose overlap ends with this use; see `keystile_end_overlap`.
    pub ends_overlap_of: keystile_id,
    /// 1 if uses are counted, otherwise 0.
    pub has_remaining_uses: u8,
    /// 1 if the record should get a new digest; see `keystile_rehash`.
    pub needs_rehash: u8,
    /// When a key that is being replaced is refused; otherwise 0.
    pub replaced_until: u64,
    /// The uses left, if `has_remaining_uses`.
    pub remaining_uses: u64,
    /// What is left of the rate limit; all zero if there is none.
    pub quota: keystile_quota,
    /// Which permissions are missing; see `keystile_decision_missing_at`.
    pub missing: [u64; 2],
}

/// Makes a refusal without a key, for example because the store is unavailable.
///
/// `cause`: a `keystile_cause`.
/// `out_decision`: receives the refusal, for `keystile_respond`.
///
/// Returns the refusal's `KEYSTILE_DENIED_` status, or `KEYSTILE_ERROR_VALUE` if the
/// number is not a `keystile_cause`; never `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_refuse(
    cause: u32,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
) -> keystile_status {
    guard_deciding(out_decision, |out_decision| {
        let denial = Denial::new(core_cause(cause).ok_or(KEYSTILE_ERROR_VALUE)?);
        write_out(out_decision, keystile_decision::refused(&denial));
        Err(keystile_status::from(&denial))
    })
}

/// Reads the missing permission at an index; borrowed from the requirement.
///
/// `requirement`: the one that the request was checked against.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_decision_missing_at(
    decision: Option<&keystile_decision>,
    requirement: Option<&keystile_requirement>,
    index: usize,
    out_permission: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (decision, requirement) = (non_null(decision)?, non_null(requirement)?);
        let decision = decision.core()?;
        let denial = decision.denial().ok_or(KEYSTILE_ERROR_INDEX)?;
        nth(denial.missing(&requirement.0), index, out_permission)
    })
}

/// Like [`guard`], for a function that decides. Without a decision its details are zeroed: those
/// of an earlier call must not be taken for it.
#[inline(always)]
pub(crate) fn guard_deciding(
    mut out_decision: Out<'_, keystile_decision>,
    work: impl FnOnce(Out<'_, keystile_decision>) -> CallResult,
) -> keystile_status {
    let status = guard(|| work(out_decision.as_deref_mut()));
    if !is_decided(status) {
        zero(out_decision);
    }
    status
}

const fn is_decided(status: keystile_status) -> bool {
    let denials = KEYSTILE_DENIED_MISSING_CREDENTIAL as i32..=KEYSTILE_DENIED as i32;
    let (first, last) = (*denials.start(), *denials.end());
    let status = status as i32;
    status == KEYSTILE_OK as i32 || (first <= status && status <= last)
}

#[cold]
fn zero(out_decision: Out<'_, keystile_decision>) {
    write_out(out_decision, keystile_decision::NONE);
}

/// Writes the details of a decision and returns its status.
#[inline(always)]
pub(crate) fn write_decision(
    decision: &Decision,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
) -> CallResult {
    match decision {
        Decision::Allow(allowed) => {
            write_out(out_decision, keystile_decision::allowed(allowed));
            Ok(())
        }
        Decision::Deny(denial) => {
            write_out(out_decision, keystile_decision::refused(denial));
            Err(keystile_status::from(denial))
        }
    }
}

impl keystile_decision {
    /// No decision. It refuses.
    pub(crate) const NONE: Self = Self {
        kind: 0,
        cause: 0,
        key_id: keystile_id::NONE,
        lineage: keystile_id::NONE,
        replaced_by: keystile_id::NONE,
        ends_overlap_of: keystile_id::NONE,
        has_remaining_uses: 0,
        needs_rehash: 0,
        replaced_until: 0,
        remaining_uses: 0,
        quota: keystile_quota::NONE,
        missing: [0; 2],
    };

    #[inline(always)]
    fn allowed(allowed: &Allowed) -> Self {
        let notice = allowed.notice.as_ref();
        Self {
            kind: KEYSTILE_DECISION_ALLOWED as u32,
            cause: 0,
            key_id: keystile_id::of(&allowed.key_id),
            lineage: keystile_id::of(&allowed.lineage),
            replaced_by: keystile_id::of_optional(notice.map(|notice| &notice.replaced_by)),
            ends_overlap_of: keystile_id::of_optional(allowed.ends_overlap_of.as_ref()),
            has_remaining_uses: u8::from(allowed.remaining_uses.is_some()),
            needs_rehash: u8::from(allowed.needs_rehash),
            replaced_until: notice.map_or(0, |notice| notice.until.get()),
            remaining_uses: allowed.remaining_uses.unwrap_or(0),
            quota: keystile_quota::of(allowed.quota.as_ref()),
            missing: [0; 2],
        }
    }

    pub(crate) fn refused(denial: &Denial) -> Self {
        Self {
            kind: KEYSTILE_DECISION_REFUSED as u32,
            cause: keystile_cause::of(denial.cause()) as u32,
            key_id: keystile_id::of_optional(denial.key_id()),
            quota: keystile_quota::of(denial.quota()),
            missing: denial.missing_bits(),
            ..Self::NONE
        }
    }

    /// The decision that the fields describe; a refusal if there is none, for a response.
    pub(crate) fn core_or_refusal(&self) -> Result<Decision, keystile_status> {
        match self.kind {
            0 => Ok(Decision::Deny(Denial::new(Cause::StoreUnavailable))),
            _ => self.core(),
        }
    }

    /// The decision that the fields describe.
    pub(crate) fn core(&self) -> Result<Decision, keystile_status> {
        let quota = self.quota.core()?;
        if self.kind == KEYSTILE_DECISION_REFUSED as u32 {
            let cause = core_cause(self.cause).ok_or(KEYSTILE_ERROR_VALUE)?;
            let denial = Denial::from_parts(cause, self.key_id.optional()?, quota, self.missing);
            return Ok(Decision::Deny(denial));
        }
        if self.kind != KEYSTILE_DECISION_ALLOWED as u32 {
            return Err(KEYSTILE_ERROR_VALUE);
        }
        let mut allowed = Allowed::new(self.key_id.core()?, self.lineage.core()?);
        allowed.quota = quota;
        allowed.remaining_uses = flag(self.has_remaining_uses)?.then_some(self.remaining_uses);
        if let Some(replaced_by) = self.replaced_by.optional()? {
            let until = instant(self.replaced_until)?;
            allowed.notice = Some(Notice::new(replaced_by, until));
        }
        allowed.ends_overlap_of = self.ends_overlap_of.optional()?;
        allowed.needs_rehash = flag(self.needs_rehash)?;
        Ok(Decision::Allow(allowed))
    }
}

const fn flag(value: u8) -> Result<bool, keystile_status> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(KEYSTILE_ERROR_VALUE),
    }
}

const CAUSES: [(keystile_cause, Cause); 20] = [
    (KEYSTILE_CAUSE_MISSING_CREDENTIAL, Cause::MissingCredential),
    (
        KEYSTILE_CAUSE_CONFLICTING_CREDENTIALS,
        Cause::ConflictingCredentials,
    ),
    (KEYSTILE_CAUSE_MALFORMED, Cause::Malformed),
    (KEYSTILE_CAUSE_UNKNOWN_KEY, Cause::UnknownKey),
    (KEYSTILE_CAUSE_WRONG_SECRET, Cause::WrongSecret),
    (KEYSTILE_CAUSE_PEPPER_UNAVAILABLE, Cause::PepperUnavailable),
    (KEYSTILE_CAUSE_REVOKED, Cause::Revoked),
    (KEYSTILE_CAUSE_SUSPENDED, Cause::Suspended),
    (KEYSTILE_CAUSE_EXPIRED, Cause::Expired),
    (KEYSTILE_CAUSE_REPLACED, Cause::Replaced),
    (KEYSTILE_CAUSE_ENVIRONMENT, Cause::Environment),
    (KEYSTILE_CAUSE_NETWORK, Cause::Network),
    (KEYSTILE_CAUSE_PATH_NOT_CANONICAL, Cause::PathNotCanonical),
    (KEYSTILE_CAUSE_ENDPOINT, Cause::Endpoint),
    (KEYSTILE_CAUSE_PERMISSION, Cause::Permission),
    (KEYSTILE_CAUSE_RATE_LIMIT, Cause::RateLimit),
    (KEYSTILE_CAUSE_USES_SPENT, Cause::UsesSpent),
    (KEYSTILE_CAUSE_STORE_UNAVAILABLE, Cause::StoreUnavailable),
    (KEYSTILE_CAUSE_RECORD_DAMAGED, Cause::RecordDamaged),
    (KEYSTILE_CAUSE_ALIEN, Cause::Alien),
];

pub(crate) fn core_cause(number: u32) -> Option<Cause> {
    let found = CAUSES.iter().find(|(cause, _)| *cause as u32 == number);
    found.map(|(_, cause)| *cause)
}

impl keystile_cause {
    /// A cause without a number is reported as an unknown key.
    fn of(cause: Cause) -> Self {
        let found = CAUSES.iter().find(|(_, core)| *core == cause);
        found.map_or(KEYSTILE_CAUSE_UNKNOWN_KEY, |(cause, _)| *cause)
    }
}
