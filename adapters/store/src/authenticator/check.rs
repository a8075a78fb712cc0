//! A check that memory cannot answer, or no longer may, in rounds: fetch, admit, and again if
//! an invalidation overtook the fetch.

use core::time::Duration;
use std::sync::Arc;

use keystile::{
    Check, Decision, Denial, Found, KeyId, KeyRecord, Millis, Request, UnixMillis, Usage, verify,
};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use super::lease::Turn;
use super::singleflight::Wanted;
use super::tokens::Waits;
use super::{Answer, Shared};
use crate::check::check;
use crate::error::{StoreError, UnavailableKind};
use crate::held::longest_limit;
use crate::store::Store;
use crate::stored_usage::{RateNote, StoredUsage};

/// Rounds after which a check gives up on invalidations that overtake it.
pub(super) const ROUNDS_MAX: u32 = 8;
/// Time between the later rounds: a replica may lag behind what was cached.
pub(super) const ROUND_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
#[error("changes were not read within the revocation bound, and the store does not answer")]
struct BoundExceeded;

/// What the rounds of a check come to.
enum Settled {
    Answer(Answer),
    /// The uses of the key are counted, under this lineage.
    Counted(KeyId),
}

impl<S: Store + 'static> Shared<S> {
    pub(super) async fn check(
        self: &Arc<Self>,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        // Before the cache is read.
        if !self.lease.holds() {
            return self.revalidate(credential, request, now).await;
        }
        let check = self.keyring.check(credential, request, now);
        self.settle(check, 0, None, credential, request, now).await
    }

    /// Decides by a record that is read for this request, because what is cached may be too
    /// old.
    async fn revalidate(
        self: &Arc<Self>,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        let earliest = self.lease.earliest_fetch(self.lease.now());
        let as_of = self.keyring.stats().invalidations;
        let ticket = match self.keyring.ticket(credential, request, as_of) {
            Ok(ticket) => ticket,
            Err(denial) => return Ok(Answer::denied(denial)),
        };
        self.read_changes.notify_one();
        let turn = self.lease.turn(self.position.is_stale());
        let turn = turn
            .ok_or_else(|| StoreError::unavailable_because(UnavailableKind::Late, BoundExceeded))?;
        let check = Check::NeedsRecord(ticket);
        self.settle(check, earliest, Some(turn), credential, request, now)
            .await
    }

    /// The decision of a check from memory, otherwise of its rounds, which together take at most
    /// the store's timeout. A claim of counted uses has time of its own.
    async fn settle<'a>(
        self: &Arc<Self>,
        check: Check<'a, Arc<KeyRecord>>,
        earliest: u64,
        mut turn: Option<Turn<'_>>,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        if let Check::Decided(decision, record) = check {
            return Ok(self.answer(decision, record, credential, now));
        }
        let rounds = self.rounds(check, earliest, &mut turn, credential, request, now);
        let settled = timeout(self.store_timeout, rounds).await;
        if let Some(turn) = turn {
            turn.ends(false);
        }
        match settled {
            Ok(Ok(Settled::Answer(answer))) => Ok(answer),
            Ok(Ok(Settled::Counted(lineage))) => {
                self.check_counted(lineage, credential, request, now).await
            }
            Ok(Err(error)) => Err(error),
            Err(late) => Err(Arc::new(unanswered(late))),
        }
    }

    /// Fetches and admits until there is a decision, from fetches that began at the reading
    /// `earliest` of the lease's clock, or later. A turn ends with the first of them.
    async fn rounds<'a>(
        self: &Arc<Self>,
        mut check: Check<'a, Arc<KeyRecord>>,
        earliest: u64,
        turn: &mut Option<Turn<'_>>,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Result<Settled, Arc<StoreError>> {
        let begun = Instant::now();
        let mut rounds = 0..ROUNDS_MAX;
        let mut waits = Waits::new(begun, ROUNDS_MAX);
        loop {
            let ticket = match check {
                Check::Decided(decision, record) => {
                    let mut answer = self.answer(decision, record, credential, now);
                    if answer.is_unavailable() {
                        answer.failure = waits.failure;
                    }
                    return Ok(Settled::Answer(answer));
                }
                Check::NeedsRecord(ticket) => ticket,
                Check::NeedsTokens(ticket) => {
                    let settled = self.settle_tokens(ticket, &mut waits, credential, request, now);
                    check = settled.await?;
                    continue;
                }
            };
            let round = rounds.next().ok_or(StoreError::Stale)?;
            if round > 1 {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            let wanted = Wanted {
                as_of: ticket.as_of(),
                fresh_only: round > 0,
                now: self.lease.now(),
                earliest,
            };
            let fetched = self.fetches.fetch(ticket.lookup(), wanted).await;
            if let Some(turn) = turn.take() {
                let failed = fetched.as_ref().err();
                turn.ends(failed.is_none_or(|error| error.unavailable_kind().is_none()));
            }
            let fetched = match fetched {
                Ok(fetched) => fetched,
                Err(error) => {
                    let denial = self.not_the_damaged_key(&error, credential, now);
                    let answer = denial.map(Answer::denied).ok_or(error);
                    return answer.map(Settled::Answer);
                }
            };
            let record = fetched.record.as_ref();
            if let Some(record) = record
                && record.remaining_uses.is_some()
                && self.is_proved(credential, record, now)
            {
                let lineage = record.lineage;
                return Ok(Settled::Counted(lineage));
            }
            // A check that joined a fetch answers for what was invalidated since that began,
            // which was before its own ticket.
            let as_of = ticket.as_of().min(fetched.as_of);
            check = match self.keyring.ticket(credential, request, as_of) {
                Ok(ticket) => {
                    // The store read its clock after `now` was read, and before this instant.
                    // The later one counts, since nothing that was spent may be given back.
                    let read = after(now, begun.elapsed());
                    if let Some(record) = record
                        && self.tokens.is_none()
                    {
                        self.store_what_is_held(record, &fetched.usage, read).await;
                    }
                    let found = record.map(|record| {
                        let mut usage = fetched.usage.seen_at(record.rate_limit.as_ref(), read);
                        let (stored, took) = (&fetched.usage, fetched.begun.elapsed());
                        usage.rate = self.noted.exact(&record.lineage, stored, usage.rate, took);
                        let found = Found::new(record).with_usage(usage);
                        found.with_value(Arc::clone(record))
                    });
                    // Tokens are used up to an instant, and the fetch may have taken a while.
                    let now = if self.tokens.is_some() { read } else { now };
                    self.keyring.admit_with(ticket, found, now)
                }
                Err(denial) => return Ok(Settled::Answer(Answer::denied(denial))),
            };
        }
    }

    /// Records the state of a limit that was further ahead than it can be as what it counts as.
    /// Otherwise each fetch would find a full burst spent again, and a limit that takes longer
    /// than a TTL to be free would never be. If it fails, the next fetch tries again.
    async fn store_what_is_held(&self, record: &KeyRecord, stored: &StoredUsage, now: UnixMillis) {
        let store = &*self.store;
        let held = async {
            if let Some(limit) = longest_limit(store, record, stored, now).await {
                let held = stored.seen_at(Some(&limit), now).rate;
                let note = RateNote::new(record.lineage, held, limit.reach());
                store.note_rates(&[note], now).await?;
            }
            Ok(())
        };
        let _ = self.in_time(held).await;
    }

    /// The store's answer, unless it takes too long.
    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.store_timeout, call).await;
        answer.unwrap_or_else(|late| Err(unanswered(late)))
    }

    /// The denial of a text that is not the key of a row that could not be read.
    pub(super) fn not_the_damaged_key(
        &self,
        error: &StoreError,
        credential: &[u8],
        now: UnixMillis,
    ) -> Option<Denial> {
        let StoreError::Corrupt(row) = error else {
            return None;
        };
        let key = self.verifier.parse(credential).ok()?;
        row.denies(&self.verifier, &key, now)
    }

    /// Whether a credential is the key of this record; the keyring remembers those that
    /// are not.
    fn is_proved(&self, credential: &[u8], record: &KeyRecord, now: UnixMillis) -> bool {
        let Ok(key) = self.verifier.parse(credential) else {
            return false;
        };
        let asks_nothing = Request::new();
        let mut usage = Usage::of(record);
        let decision = verify(
            &self.verifier,
            &key,
            Some(record),
            &asks_nothing,
            &mut usage,
            now,
        );
        match decision {
            Decision::Allow(_) => true,
            Decision::Deny(denial) => denial.key_id().is_some(),
        }
    }

    /// The store's own decision on a key whose uses are counted.
    async fn check_counted(
        &self,
        lineage: KeyId,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        let store = self.store.acting_as(&self.process);
        let checked = check(&store, &self.verifier, credential, request, now);
        let checked = self.claims.run(lineage, checked).await?;
        if let Some(row) = checked.damage {
            return Err(Arc::new(StoreError::Corrupt(row)));
        }
        let record = match &checked.decision {
            Decision::Allow(allowed) => {
                if let Some(predecessor) = &allowed.ends_overlap_of {
                    self.keyring.invalidate(predecessor);
                }
                checked.record.map(Arc::new)
            }
            Decision::Deny(_) => None,
        };
        Ok(Answer {
            decision: checked.decision,
            record,
            failure: None,
        })
    }
}

pub(super) fn unanswered(late: Elapsed) -> StoreError {
    StoreError::unavailable_because(UnavailableKind::Late, late)
}

pub(super) fn after(now: UnixMillis, span: Duration) -> UnixMillis {
    let span = Millis::new(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    now.plus(span).unwrap_or(UnixMillis::MAX)
}
