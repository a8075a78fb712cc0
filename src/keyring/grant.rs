//! Tokens that were taken for a check, and what becomes of it.

use core::hash::BuildHasher;

use super::clock::Clock;
use super::entry::Entry;
use super::evaluate::EntryDenial;
use super::lease::Rest;
use super::meter::{SpendError, Spent};
use super::sync::atomic::Ordering;
use super::{Check, Keyring, TokenTicket};
use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::key::id::KeyId;
use crate::key::parts::Parts;
use crate::policy::rate_state::RateState;
use crate::record::usage::Exhausted;
use crate::time::{Millis, UnixMillis};

/// What asking for the tokens of a [`TokenTicket`] came to.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let ten = RateLimit::new(10, Millis::from_secs(1))?;
/// # let request = IssueRequest::new("Acme")?.rate_limit(ten);
/// # let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// # let keyring = Keyring::builder(Verifier::new(format)).shared_limits(Leases::default()).build()?;
/// # let key = issued.key.expose().as_bytes();
/// # let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else { panic!() };
/// let Check::NeedsTokens(ticket) = keyring.admit(ticket, Some(&issued.record), now) else { panic!() };
/// // The one place in which the limit is counted; its clock is the same here.
/// let (tokens, state) = ticket.limit().take(RateState::default(), now, 3);
/// let Check::Decided(decision, _) = keyring.grant(ticket, Grant::new(tokens, state, now, now), now) else { panic!() };
/// assert!(decision.is_allow());
/// // Two are left for later requests, which ask for none.
/// let allows = || match keyring.check(key, &Request::new(), now) {
///     Check::Decided(decision, _) => decision.is_allow(),
///     _ => false,
/// };
/// assert!(allows() && allows());
/// let Check::NeedsTokens(ticket) = keyring.check(key, &Request::new(), now) else { panic!() };
/// // The limits do not answer, and this process has no share of its own: refused.
/// let Check::Decided(decision, _) = keyring.grant(ticket, Grant::degraded(), now) else { panic!() };
/// assert_eq!(decision.denial().unwrap().cause(), Cause::StoreUnavailable);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant(Answer);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Taken(Taken),
    Degraded,
}

/// Tokens that were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    tokens: u32,
    state: RateState,
    asked_at: UnixMillis,
    taken_at: UnixMillis,
}

/// How an entry judges the request of a ticket; `None` if it cannot.
type Judged = Option<Result<Spent, EntryDenial>>;

impl Grant {
    /// So many tokens were taken; none is a refusal.
    ///
    /// - `state`: of the limit afterwards, by the clock that `now` is read from; see
    ///   [`RateState::moved`].
    /// - `asked_at`: by that same clock, from *before* the tokens were asked for: from then on
    ///   their time counts.
    /// - `taken_at`: by the clock of the limits, for [`UnusedTokens`](super::UnusedTokens).
    #[must_use]
    pub const fn new(
        tokens: u32,
        state: RateState,
        asked_at: UnixMillis,
        taken_at: UnixMillis,
    ) -> Self {
        Self(Answer::Taken(Taken {
            tokens,
            state,
            asked_at,
            taken_at,
        }))
    }

    /// They could not be taken. This process's [share](super::Leases::with_share) of the limit
    /// decides, and without one the request is refused with [`Cause::StoreUnavailable`].
    #[must_use]
    pub const fn degraded() -> Self {
        Self(Answer::Degraded)
    }
}

impl<T: Clone> Keyring<T> {
    /// Decides a check that needed tokens, with what was taken for it.
    ///
    /// Its own request has the first of them; later requests of the key have the others. The
    /// request is judged again: if the key was changed meanwhile, the answer is a denial or
    /// another ticket, and the tokens are kept for later requests or are to be given back. Give
    /// up after some rounds and answer [`Cause::StoreUnavailable`]; never allow.
    pub fn grant<'a>(
        &self,
        ticket: TokenTicket<'a>,
        grant: Grant,
        now: UnixMillis,
    ) -> Check<'a, T> {
        self.grant_with(ticket, grant, now, T::clone)
    }
}

impl<T> Keyring<T> {
    /// As [`grant`](Self::grant), with what `view` returns for the value: see
    /// [`check_with`](Self::check_with).
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is settled once")]
    pub fn grant_with<'a, V>(
        &self,
        ticket: TokenTicket<'a>,
        grant: Grant,
        now: UnixMillis,
        view: impl FnOnce(&T) -> V,
    ) -> Check<'a, V> {
        let clock = self.clock(now);
        let entries = self.entries.pin();
        let entry = entries
            .get(&ticket.key_id)
            .filter(|entry| self.proves(entry, &ticket, clock));
        let judged = match &grant.0 {
            Answer::Degraded => {
                let degraded = &self.counters.degraded;
                degraded.fetch_add(1, Ordering::Relaxed);
                return match entry.and_then(|entry| self.decide_alone(entry, &ticket, clock)) {
                    Some(decision) => {
                        let value = decision.is_allow().then_some(entry).flatten();
                        Check::Decided(decision, value.map(|entry| view(entry.value())))
                    }
                    None => self.check_with(ticket.credential, &ticket.request, now, view),
                };
            }
            Answer::Taken(taken) => {
                let counter = &self.counters.tokens_taken;
                counter.fetch_add(taken.tokens.into(), Ordering::Relaxed);
                self.settle(entry, &ticket, taken, clock)
            }
        };
        if let (Some(entry), Some(judged)) = (entry, judged) {
            let id = ticket.key_id;
            match judged {
                Ok(spent) => {
                    let allowed = entry.allowed(id, entry.extras(), spent, clock);
                    let value = view(entry.value());
                    return Check::Decided(Decision::Allow(allowed), Some(value));
                }
                Err(denied) => {
                    if let Some(denial) = denied.denial(id, entry, clock) {
                        return Check::Decided(Decision::Deny(denial), None);
                    }
                }
            }
        }
        self.check_with(ticket.credential, &ticket.request, now, view)
    }

    /// Whether an entry may still be used, proves the key of a ticket, and has its limit.
    fn proves(&self, entry: &Entry<T>, ticket: &TokenTicket<'_>, clock: Clock) -> bool {
        let is_key = match Parts::of(ticket.credential) {
            Some(parts) => {
                KeyId::to_look_for(*parts.id) == ticket.key_id
                    && entry.is_key(&self.tagger, ticket.credential, &parts)
            }
            None => entry.tag().is(&self.tagger.tag(ticket.credential)),
        };
        is_key && self.holds(entry, clock) && entry.rate_limit() == Some(&ticket.limit)
    }

    /// Judges the request of a ticket by an entry, and keeps the tokens that it does not use.
    fn settle(
        &self,
        entry: Option<&Entry<T>>,
        ticket: &TokenTicket<'_>,
        taken: &Taken,
        clock: Clock,
    ) -> Judged {
        let state = taken.state.moved(clock.now, clock.limits);
        let Some(others) = taken.tokens.checked_sub(1) else {
            self.refuse(ticket, state, clock);
            return self.judge_by(entry?, ticket, clock, |entry| {
                // Another thread may have brought some.
                match entry.spend(entry.extras(), clock) {
                    Err(SpendError::NoTokens) => {
                        Err(SpendError::Exhausted(Exhausted::RateLimit, state))
                    }
                    spent => spent,
                }
            });
        };
        let judged = entry.and_then(|entry| {
            self.judge_by(entry, ticket, clock, |entry| {
                let (Some(extras), Some(lease)) = (entry.extras(), entry.lease()) else {
                    return Err(SpendError::Closed);
                };
                let state = ticket.limit.give_back(state, others);
                entry.pass(extras, lease, state, clock)
            })
        });
        let is_used = matches!(judged, Some(Ok(_)));
        let left = if is_used { others } else { taken.tokens };
        self.deposit(ticket, left, taken, state, clock);
        judged
    }

    /// Judges the request of a ticket, spends, and counts the use.
    fn judge_by(
        &self,
        entry: &Entry<T>,
        ticket: &TokenTicket<'_>,
        clock: Clock,
        spend: impl FnOnce(&Entry<T>) -> Result<Spent, SpendError>,
    ) -> Judged {
        let id = ticket.key_id;
        let judged = self.judge(id, entry, entry.extras(), &ticket.request, clock);
        let spent = judged.and_then(|()| spend(entry).map_err(EntryDenial::Spending));
        if spent.is_ok() {
            self.count(id, entry, clock.now);
        }
        Some(spent)
    }

    /// Decides by this process's part of the limit; `None` if another entry has taken over.
    fn decide_alone(
        &self,
        entry: &Entry<T>,
        ticket: &TokenTicket<'_>,
        clock: Clock,
    ) -> Option<Decision> {
        let id = ticket.key_id;
        let local = entry.lease()?.local();
        let judged = self.judge_by(entry, ticket, clock, |entry| {
            match (entry.extras(), local) {
                (Some(extras), Some(local)) => entry.spend_local(extras, local, clock),
                _ => Err(SpendError::NoTokens),
            }
        })?;
        let quota = |state| local.map(|local| local.quota(clock.state_out(state), clock.now));
        Some(match judged {
            Ok(spent) => {
                let mut allowed = entry.allowed(id, entry.extras(), spent, clock);
                allowed.quota = quota(spent.rate);
                Decision::Allow(allowed)
            }
            Err(EntryDenial::Spending(SpendError::NoTokens)) => {
                Decision::Deny(Denial::of(Cause::StoreUnavailable, id))
            }
            Err(EntryDenial::Spending(SpendError::Exhausted(exhausted, state))) => {
                Decision::Deny(exhausted.denial(id, quota(state)))
            }
            Err(denied) => Decision::Deny(denied.denial(id, entry, clock)?),
        })
    }

    /// Keeps tokens for later requests of the key. Those that cannot be used are left to be given
    /// back.
    fn deposit(
        &self,
        ticket: &TokenTicket<'_>,
        tokens: u32,
        taken: &Taken,
        state: RateState,
        clock: Clock,
    ) {
        let fresh = Rest {
            tokens,
            taken_at: taken.taken_at,
        };
        let leave = |rest: Rest| self.leave_tokens(rest, ticket.lineage, ticket.limit);
        let entries = self.entries.pin();
        let _lock = self.lock_of(self.hasher.hash_one(ticket.key_id));
        let entry = entries.get(&ticket.key_id);
        let entry = entry.filter(|entry| entry.rate_limit() == Some(&ticket.limit));
        let Some(lease) = entry.and_then(Entry::lease) else {
            return leave(fresh);
        };
        let rests = lease.put(taken.tokens, fresh, state, taken.asked_at, clock.not_before);
        rests.into_iter().flatten().for_each(leave);
        if lease.left() > 0 {
            self.hold_tokens(ticket.key_id);
        }
    }

    /// Remembers a refusal for a while, so that a flood of requests does not ask each time.
    fn refuse(&self, ticket: &TokenTicket<'_>, state: RateState, clock: Clock) {
        let Some(leases) = &self.leases else { return };
        let quota = ticket.limit.quota(clock.state_out(state), clock.now);
        let wait = quota.retry_after().unwrap_or(leases.length());
        let wait: Millis = wait.min(leases.length());
        let at = clock.not_before;
        let until = at.plus(wait).unwrap_or(at);
        let entries = self.entries.pin();
        let _lock = self.lock_of(self.hasher.hash_one(ticket.key_id));
        let entry = entries.get(&ticket.key_id);
        let entry = entry.filter(|entry| entry.rate_limit() == Some(&ticket.limit));
        if let Some(lease) = entry.and_then(Entry::lease)
            && let Some(rest) = lease.refuse(state, until, at)
        {
            self.leave_tokens(rest, ticket.lineage, ticket.limit);
        }
    }
}
