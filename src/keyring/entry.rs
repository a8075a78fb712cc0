//! A record as it is cached: what a decision reads, close together.

use core::num::NonZeroU32;
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use super::clock::Clock;
use super::count::Count;
use super::invalidation::OwnerSlot;
use super::lease::{Lease, Token};
use super::meter::{RateMeter, SpendError, Spent};
use super::shared_meter::{Share, owes_until};
use super::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use super::tag::{Proof, Tag, Tagger};

use crate::decision::allowed::{Allowed, Notice};
use crate::decision::terms::{StatusKind, Terms};
use crate::key::id::KeyId;
use crate::key::label::Environment;
use crate::key::parts::Parts;
use crate::policy::endpoint::{EndpointRules, Rules};
use crate::policy::network::Networks;
use crate::policy::permission::Granted;
use crate::policy::rate_limit::{Quota, RateLimit};
use crate::policy::rate_state::RateState;
use crate::record::key_record::KeyRecord;
use crate::record::usage::Exhausted;
use crate::time::{Millis, UnixMillis};

/// A cached record. All but the atomics is fixed once it is in the map: a changed record
/// gets a new entry.
pub(super) struct Entry<T> {
    proof: Proof,
    /// The count of invalidations before the record was fetched.
    pub(super) as_of: u64,
    /// Up to when it may be used without asking again.
    pub(super) fresh_until: UnixMillis,
    expires_at: Option<UnixMillis>,
    /// Permissions, then endpoint rules, each as its own type lays it out.
    policy: Box<[u8]>,
    /// Where the endpoint rules begin, counted from 1; none if there is no list.
    endpoints_at: Option<NonZeroU32>,
    pub(super) slot: u32,
    environment: Option<Environment>,
    status: StatusKind,
    pub(super) owner: Option<OwnerSlot>,
    needs_rehash: bool,
    /// [`STALE`] and [`ENDED`], which are never cleared.
    marks: AtomicU8,
    /// Set by a use, cleared by the hand that looks for a key to evict.
    used: AtomicBool,
    rate_limit: Option<Arc<RateLimit>>,
    rate: RateMeter,
    pub(super) count: Count,
    last_used_at: AtomicU64,
    pub(super) version: u64,
    extras: Option<Box<Extras>>,
    value: T,
}

/// What few records have.
pub(super) struct Extras {
    networks: Option<Networks>,
    replaced_by: Option<KeyId>,
    overlap_until: Option<UnixMillis>,
    ends_at_first_use: Option<KeyId>,
    lineage: KeyId,
    /// Its share of the lineage's meter, if the meter is not the entry's own.
    share: Option<Share>,
    /// The tokens of its limit, if that is counted elsewhere.
    lease: Option<Lease>,
}

/// What an entry needs that is not in its record.
pub(super) struct Admission<T> {
    pub(super) proof: Proof,
    pub(super) as_of: u64,
    pub(super) fresh_until: UnixMillis,
    pub(super) slot: u32,
    pub(super) owner: Option<OwnerSlot>,
    pub(super) needs_rehash: bool,
    pub(super) rate_limit: Option<Arc<RateLimit>>,
    pub(super) rate: RateMeter,
    pub(super) count: Count,
    pub(super) last_used_at: Option<UnixMillis>,
    pub(super) is_ended: bool,
    pub(super) share: Option<Share>,
    pub(super) lease: Option<Lease>,
    pub(super) value: T,
}

impl<T> Entry<T> {
    pub(super) fn new(record: &KeyRecord, admission: Admission<T>) -> Self {
        let permissions = record.permissions.view().0;
        let endpoints = record.allowed_endpoints.as_ref().map(EndpointRules::view);
        let mut policy = Vec::from(permissions);
        let endpoints_at = endpoints.and_then(|rules| {
            policy.extend_from_slice(rules.0);
            u32::try_from(permissions.len())
                .ok()
                .and_then(|at| NonZeroU32::new(at.saturating_add(1)))
        });
        let status = Terms::of(record).status;
        // A use that was noted here may not have reached the store yet.
        let last_used_at = record.last_used_at.max(admission.last_used_at);
        Self {
            proof: admission.proof,
            as_of: admission.as_of,
            fresh_until: admission.fresh_until,
            expires_at: record.expires_at,
            policy: policy.into(),
            endpoints_at,
            slot: admission.slot,
            environment: record.environment,
            status,
            owner: admission.owner,
            needs_rehash: admission.needs_rehash,
            marks: AtomicU8::new(if admission.is_ended { ENDED } else { 0 }),
            used: AtomicBool::new(true),
            rate_limit: admission.rate_limit,
            rate: admission.rate,
            count: admission.count,
            last_used_at: AtomicU64::new(last_used_at.map_or(0, UnixMillis::get)),
            version: record.version,
            extras: Extras::of(record, admission.share, admission.lease),
            value: admission.value,
        }
    }

    /// Whether a presented text, whose id is this entry's, is its key.
    #[inline(always)]
    pub(super) fn is_key(&self, tagger: &Tagger, text: &[u8], parts: &Parts<'_>) -> bool {
        tagger.proves(&self.proof, text, parts)
    }

    /// The tag, by which an opaque key is found.
    pub(super) const fn tag(&self) -> &Tag {
        &self.proof.tag
    }

    /// The caller's value, which came with this record.
    #[inline(always)]
    pub(super) const fn value(&self) -> &T {
        &self.value
    }

    /// What a decision judges.
    #[inline(always)]
    pub(super) fn terms<'e>(&'e self, id: KeyId, extras: Option<&'e Extras>) -> Terms<'e> {
        let (permissions, endpoints) = self.policy();
        Terms {
            id,
            status: self.status,
            expires_at: self.expires_at,
            replaced_by: extras.and_then(|extras| extras.replaced_by),
            overlap_until: extras.and_then(|extras| extras.overlap_until),
            environment: self.environment.as_ref(),
            networks: extras.and_then(|extras| extras.networks.as_ref()),
            endpoints,
            permissions,
            rate_limit: self.rate_limit.as_deref(),
        }
    }

    #[inline]
    fn policy(&self) -> (Granted<'_>, Option<Rules<'_>>) {
        let Some(at) = self.endpoints_at else {
            return (Granted(&self.policy), None);
        };
        let at = usize::try_from(at.get())
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        match self.policy.split_at_checked(at) {
            Some((permissions, endpoints)) => (Granted(permissions), Some(Rules(endpoints))),
            // Cannot be; and then it grants nothing.
            None => (Granted(&[]), Some(Rules(&[]))),
        }
    }

    /// What few records have, if this one has any of it.
    #[inline]
    pub(super) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    /// The first key of the lineage.
    pub(super) fn lineage(&self, id: KeyId) -> KeyId {
        Extras::lineage(self.extras(), id)
    }

    /// Spends one request and one use; `extras` is the entry's own.
    #[inline(always)]
    pub(super) fn spend(&self, extras: Option<&Extras>, clock: Clock) -> Result<Spent, SpendError> {
        let limit = self.rate_limit.as_deref();
        if let Some(extras) = extras
            && let Some(lease) = &extras.lease
            && let Some(limit) = limit
        {
            return self.spend_token(extras, lease, limit, clock);
        }
        match (extras.and_then(|extras| extras.share.as_ref()), limit) {
            (Some(share), limit) => share.spend(limit, clock.limits),
            (None, None) => Ok(Spent::default()),
            (None, Some(limit)) => Ok(Spent {
                rate: self.rate.spend(limit, clock.limits)?,
                remaining: None,
            }),
        }
    }

    /// The same by a limit that is counted elsewhere.
    #[inline(always)]
    fn spend_token(
        &self,
        extras: &Extras,
        lease: &Lease,
        limit: &RateLimit,
        clock: Clock,
    ) -> Result<Spent, SpendError> {
        let share = extras.share.as_ref();
        if share.is_some_and(Share::is_used_up) {
            // None is spent in vain, nor asked for.
            let state = lease.state();
            let exhausted = if lease.is_refused(clock.not_before) {
                Exhausted::RateLimit
            } else {
                Exhausted::Uses
            };
            return Err(SpendError::Exhausted(exhausted, state));
        }
        match lease.take(clock.now, clock.not_before) {
            Token::Taken(left) => {
                self.pass(extras, lease, limit.give_back(lease.state(), left), clock)
            }
            Token::Missing => Err(SpendError::NoTokens),
            Token::Refused => Err(SpendError::Exhausted(Exhausted::RateLimit, lease.state())),
            Token::Closed => Err(SpendError::Closed),
        }
    }

    /// Takes a use for a request that has its token, and keeps what counts here up to date.
    #[inline(always)]
    pub(super) fn pass(
        &self,
        extras: &Extras,
        lease: &Lease,
        state: RateState,
        clock: Clock,
    ) -> Result<Spent, SpendError> {
        let spent = match &extras.share {
            Some(share) => share.take_use(state)?,
            None => Spent {
                rate: state,
                remaining: None,
            },
        };
        if let Some(local) = lease.local() {
            match &extras.share {
                Some(share) => share.charge(clock.limits),
                None => self.rate.charge(local, clock.limits),
            }
        }
        Ok(spent)
    }

    /// The same while its limit cannot be counted elsewhere: by the part of it that this process
    /// has, if it has one.
    pub(super) fn spend_local(
        &self,
        extras: &Extras,
        local: &RateLimit,
        clock: Clock,
    ) -> Result<Spent, SpendError> {
        match &extras.share {
            Some(share) => share.spend(Some(local), clock.limits),
            None => Ok(Spent {
                rate: self.rate.spend(local, clock.limits)?,
                remaining: None,
            }),
        }
    }

    /// The answer to a request that was let pass; `extras` is the entry's own.
    #[inline(always)]
    pub(super) fn allowed(
        &self,
        id: KeyId,
        extras: Option<&Extras>,
        spent: Spent,
        clock: Clock,
    ) -> Allowed {
        Allowed {
            key_id: id,
            version: self.version,
            lineage: Extras::lineage(extras, id),
            quota: self.quota(spent.rate, clock),
            remaining_uses: spent.remaining,
            notice: extras.and_then(Extras::notice),
            ends_overlap_of: extras.and_then(|extras| extras.ends_at_first_use),
            needs_rehash: self.needs_rehash,
        }
    }

    /// What is left of the limit in a state, if there is a limit.
    #[inline(always)]
    pub(super) fn quota(&self, state: RateState, clock: Clock) -> Option<Quota> {
        self.rate_limit
            .as_ref()
            .map(|limit| limit.quota(clock.state_out(state), clock.now))
    }

    /// What was spent in its own meter, and by which limit; `None` if it spends from its
    /// lineage's, or if that took its meter over.
    pub(super) fn own_rate(&self) -> Option<(Option<Arc<RateLimit>>, RateState)> {
        if self.share().is_some() {
            return None;
        }
        Some((self.limit().cloned(), self.rate.state()?))
    }

    /// The entry's own meter, to be taken over.
    pub(super) fn rate(&self) -> &RateMeter {
        &self.rate
    }

    /// The limit that its meter counts by, as it is shared with other entries.
    pub(super) fn limit(&self) -> Option<&Arc<RateLimit>> {
        match self.lease() {
            Some(lease) => lease.local(),
            None => self.rate_limit.as_ref(),
        }
    }

    /// The limit of its record.
    pub(super) fn rate_limit(&self) -> Option<&RateLimit> {
        self.rate_limit.as_deref()
    }

    /// Its tokens, if its limit is counted elsewhere.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.extras.as_deref()?.lease.as_ref()
    }

    /// Its share of its lineage's meter, if it spends from that.
    pub(super) fn share(&self) -> Option<&Share> {
        self.extras.as_deref()?.share.as_ref()
    }

    /// The state of its limit, if it has one and its meter was not taken over.
    pub(super) fn rate_now(&self) -> Option<RateState> {
        self.rate_limit.as_ref()?;
        match self.share() {
            Some(share) => share.rate()?.state(),
            None => self.rate.state(),
        }
    }

    /// Whether its uses are counted.
    pub(super) fn is_counted(&self) -> bool {
        self.share()
            .is_some_and(|share| share.meter.uses().get().is_some())
    }

    /// How far ahead of the clock its limit can move a state.
    pub(super) fn reach(&self) -> Millis {
        self.rate_limit
            .as_ref()
            .map_or(Millis::ZERO, |limit| limit.reach())
    }

    /// Until when a meter in this state remembers something; `None` if it is as new.
    pub(super) fn owes_until(&self, state: RateState, now: UnixMillis) -> Option<UnixMillis> {
        owes_until(self.limit()?, state, now)
    }

    #[inline]
    pub(super) fn is_live(&self) -> bool {
        self.marks.load(Ordering::Acquire) & STALE == 0
    }

    /// Ends the entry: a check that begins later asks the store.
    pub(super) fn mark_stale(&self) {
        self.marks.fetch_or(STALE, Ordering::Release);
    }

    /// Whether it was seen to have ended.
    #[inline]
    pub(super) fn is_ended(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & ENDED != 0
    }

    /// Notes that it has ended.
    pub(super) fn mark_ended(&self) {
        self.marks.fetch_or(ENDED, Ordering::Relaxed);
    }

    /// Notes a use, writing only if that changes something.
    #[inline]
    pub(super) fn note_use(&self, now: UnixMillis) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        let last = self.last_used_at.load(Ordering::Relaxed);
        if now.get() >= last.saturating_add(LAST_USE_MILLIS) {
            self.last_used_at.store(now.get(), Ordering::Relaxed);
        }
    }

    /// When it was last used, to the second.
    pub(super) fn last_used_at(&self) -> Option<UnixMillis> {
        UnixMillis::new(self.last_used_at.load(Ordering::Relaxed)).ok()
    }

    /// Whether it was used since the hand passed last.
    pub(super) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// The key was invalidated, or has another entry.
const STALE: u8 = 1;
/// The key was seen to have ended.
const ENDED: u8 = 2;
/// A last use is noted to the second: otherwise each decision would write to a busy key.
const LAST_USE_MILLIS: u64 = 1_000;

impl Extras {
    /// The first key of the lineage.
    #[inline]
    pub(super) fn lineage(extras: Option<&Self>, id: KeyId) -> KeyId {
        extras.map_or(id, |extras| extras.lineage)
    }

    fn notice(&self) -> Option<Notice> {
        Notice::of(self.replaced_by, self.overlap_until)
    }

    fn of(record: &KeyRecord, share: Option<Share>, lease: Option<Lease>) -> Option<Box<Self>> {
        let usual = record.allowed_networks.is_none()
            && record.replaced_by.is_none()
            && record.overlap_until.is_none()
            && record.ends_at_first_use.is_none()
            && record.lineage == record.id
            && share.is_none()
            && lease.is_none();
        (!usual).then(|| {
            Box::new(Self {
                networks: record.allowed_networks.clone(),
                replaced_by: record.replaced_by,
                overlap_until: record.overlap_until,
                ends_at_first_use: record.ends_at_first_use,
                lineage: record.lineage,
                share,
                lease,
            })
        })
    }
}

#[cfg(all(test, not(keystile_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_no_more_room_than_was_reckoned_with() {
        // With the id before it and what the allocator adds, a multiple of 16 bytes: the
        // next one would cost each of ten million keys 16 more.
        assert!(size_of::<Entry<()>>() <= 152, "{}", size_of::<Entry<()>>());
        // A pointer adds 8 bytes, which the allocator rounds up to 16: a second one is free.
        assert_eq!(size_of::<Entry<Arc<u8>>>(), size_of::<Entry<()>>() + 8);
    }
}
