//! The decision about one request, in rounds: look, fetch, admit.

use core::time::Duration;
use std::sync::Arc;

use keystile::{Allowed, Check, Decision, KeyRecord, Lookup, Request, UnixMillis, Usage, verify};
use tokio::time::timeout;

use super::{Answer, Parts, Pending};
use crate::check::check;
use crate::error::StoreError;
use crate::store::Store;

/// Rounds that a check goes before it gives up on invalidations that overtake it.
const ROUNDS_MAX: u32 = 8;
/// Time between the later rounds: a replica may lag behind what was cached.
const ROUND_PAUSE: Duration = Duration::from_millis(5);

impl<S: Store + 'static> Parts<S> {
    pub(super) async fn decide(
        self: &Arc<Self>,
        pending: Pending,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        let mut check = match pending {
            Pending(Some(allowed)) => Check::Decided(Decision::Allow(allowed)),
            Pending(None) => self.keyring.check(credential, request, now),
        };
        let mut fetched: Option<Arc<KeyRecord>> = None;
        let mut rounds = 0..ROUNDS_MAX;
        loop {
            let ticket = match check {
                Check::Decided(Decision::Deny(denial)) => return Ok(Answer::denied(denial)),
                Check::Decided(Decision::Allow(allowed)) => {
                    if let Some(record) = self.record_of(&allowed, fetched.take()).await? {
                        self.care_for(&allowed, &record, credential, now);
                        return Ok(Answer {
                            decision: Decision::Allow(allowed),
                            record: Some(record),
                            failure: None,
                        });
                    }
                    // It has changed since it was cached, and nobody said so yet.
                    self.keyring.invalidate(&allowed.key_id);
                    rounds.next().ok_or(StoreError::Stale)?;
                    check = self.keyring.check(credential, request, now);
                    continue;
                }
                Check::NeedsRecord(ticket) => ticket,
            };
            let round = rounds.next().ok_or(StoreError::Stale)?;
            if round > 1 {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
            let landed = self
                .flights
                .fetch(ticket.lookup(), ticket.as_of(), round > 0)
                .await?;
            let record = landed.record.as_deref();
            if let Some(record) = record
                && record.remaining_uses.is_some()
                && self.is_proved(credential, record, now)
            {
                return self.check_counted(credential, request, now).await;
            }
            // Who joined a fetch answers for what was invalidated since that began, which
            // was before its own ticket.
            let as_of = ticket.as_of().min(landed.as_of);
            check = match self.keyring.ticket(credential, request, as_of) {
                Ok(ticket) => self.keyring.admit(ticket, record, now),
                Err(denial) => return Ok(Answer::denied(denial)),
            };
            fetched = landed.record.filter(|_| is_proved_by(&check));
            if let Some(record) = &fetched {
                self.directory.keep(Arc::clone(record));
            }
        }
    }

    /// The record that a decision was made on; nothing where the store has another version.
    async fn record_of(
        &self,
        allowed: &Allowed,
        fetched: Option<Arc<KeyRecord>>,
    ) -> Result<Option<Arc<KeyRecord>>, Arc<StoreError>> {
        let is_it = |record: &Arc<KeyRecord>| {
            (record.id, record.version) == (allowed.key_id, allowed.version)
        };
        let record = match fetched.filter(is_it) {
            Some(record) => Some(record),
            None => {
                let known = self.directory.find(&allowed.key_id, allowed.version);
                if known.is_some() {
                    return Ok(known);
                }
                let lookup = Lookup::Id(allowed.key_id);
                let as_of = self.keyring.stats().invalidations;
                let landed = self.flights.fetch(&lookup, as_of, false).await?;
                landed.record.filter(is_it)
            }
        };
        if let Some(record) = &record {
            self.directory.keep(Arc::clone(record));
        }
        Ok(record)
    }

    /// What the store was asked, unless it takes too long.
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.store_timeout, asked).await;
        answer.unwrap_or_else(|late| Err(StoreError::unavailable(late)))
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
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        let checked = check(&*self.store, &self.verifier, credential, request, now);
        let checked = self.flights.run(checked).await?;
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

/// Whether a check proved its key: else the record is not its own.
const fn is_proved_by(check: &Check<'_>) -> bool {
    match check {
        Check::Decided(Decision::Allow(_)) => true,
        Check::Decided(Decision::Deny(denial)) => denial.key_id().is_some(),
        Check::NeedsRecord(_) => false,
    }
}
