//! Decisions that spend nothing, with what this process has counted and not written yet.

use std::sync::Arc;

use keystile::{
    Decision, Explanation, KeyId, KeyRecord, Lookup, Request, UnixMillis, Usage, explain, verify,
};

use core::sync::atomic::Ordering;
use tokio::time::timeout;

use super::check::{ROUND_PAUSE, ROUNDS_MAX, unanswered};
use super::singleflight::Wanted;
use super::{Answer, Authenticator, Shared};
use crate::error::{StoreError, UnavailableKind};
use crate::explain::Explained;
use crate::store::Store;
use crate::stored_usage::StoredUsage;

impl<S: Store + 'static> Authenticator<S> {
    /// Explains the decision that a request with a key would get here, without the key's text.
    ///
    /// It writes nothing and spends nothing: no request, no use, no last use, and no guess of a
    /// client. The record is the store's, and not the one that is cached: a change that this
    /// process has not picked up yet counts.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use keystile::{CheckStep, IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
    /// # use keystile_store::{Authenticator, MemoryStore};
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let format = KeyFormat::structured("acme")?;
    /// # let issuer = Issuer::new(format.clone());
    /// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
    /// # let keys = Authenticator::builder(Arc::new(MemoryStore::new()), Verifier::new(format)).build()?;
    /// # keys.save_issued(&issued).await?;
    /// let id = &issued.record.id;
    /// keys.suspend(id, now).await?;
    /// let explained = keys.explain(id, &Request::new(), now).await?.explanation;
    /// assert_eq!(explained.refused_by().unwrap().step, CheckStep::Status);
    /// let unknown = "1AbCdEfGhIjKlMnO".parse()?;
    /// assert!(keys.explain(&unknown, &Request::new(), now).await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`explain`](crate::explain()).
    pub async fn explain(
        &self,
        key_id: &KeyId,
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Explained, StoreError> {
        let shared = &self.inner.shared;
        let found = shared.current(&Lookup::Id(*key_id)).await;
        let found = found.map_err(owned)?;
        let (record, stored) = found.ok_or(StoreError::NotFound)?;
        let mut record = Arc::unwrap_or_clone(record);
        let usage = shared
            .usage_now(&record, &stored, now)
            .await
            .map_err(owned)?;
        let explanation: Explanation = explain(&shared.verifier, &record, request, &usage, now);
        record.remaining_uses = usage.remaining.or(record.remaining_uses);
        Ok(Explained {
            record,
            explanation,
        })
    }

    /// Whether a presented key is valid, for its holder to see what it may do: its state and
    /// its networks are checked, and neither endpoints nor limits.
    ///
    /// Nothing is written or spent. An allow has the quota and the uses that are left now. The
    /// record is the store's: each call asks it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
    /// # use keystile_store::{Authenticator, MemoryStore};
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let format = KeyFormat::structured("acme")?;
    /// # let issuer = Issuer::new(format.clone());
    /// # let wanted = IssueRequest::new("Acme")?.uses(2)?.endpoints(["/api/data/*"])?;
    /// # let issued = issuer.issue(&wanted, &mut SysRng, now)?;
    /// # let keys = Authenticator::builder(Arc::new(MemoryStore::new()), Verifier::new(format)).build()?;
    /// # keys.save_issued(&issued).await?;
    /// let key = issued.key.expose().as_bytes();
    /// for _ in 0..3 {
    ///     let answer = keys.own_key(key, &Request::new(), now).await;
    ///     assert_eq!(answer.record.expect("it is valid").remaining_uses, Some(2));
    /// }
    /// keys.suspend(&issued.record.id, now).await?;
    /// assert!(!keys.own_key(key, &Request::new(), now).await.decision.is_allow());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn own_key(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Answer {
        let shared = &self.inner.shared;
        if shared.stopped.load(Ordering::Acquire) {
            return Answer::unavailable(None);
        }
        let answer = shared.own_key(credential, request, now).await;
        answer.unwrap_or_else(|failure| shared.failed(failure))
    }
}

impl<S: Store + 'static> Shared<S> {
    async fn own_key(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Arc<StoreError>> {
        let key = match self.verifier.parse(credential) {
            Ok(key) => key,
            Err(denial) => return Ok(Answer::denied(denial)),
        };
        let found = match self.current(&self.verifier.lookup(&key)).await {
            Ok(found) => found,
            Err(failure) => {
                let denial = self.not_the_damaged_key(&failure, credential, now);
                return denial.map(Answer::denied).ok_or(failure);
            }
        };
        let (record, stored) = found.unzip();
        // What is left out is not checked and not spent; the order of the checks stays.
        let without_rights = record.as_deref().cloned().map(|mut record| {
            record.allowed_endpoints = None;
            record.rate_limit = None;
            record.remaining_uses = None;
            record
        });
        let nothing = &mut Usage::default();
        let judged = without_rights.as_ref();
        let at = judged.map_or(now, |record| self.keyring.judged_at(record, now));
        let decision = verify(&self.verifier, &key, judged, request, nothing, at);
        let (mut allowed, mut record) = match (decision, record) {
            (Decision::Allow(allowed), Some(record)) => (allowed, Arc::unwrap_or_clone(record)),
            (Decision::Deny(denial), _) => return Ok(Answer::denied(denial)),
            // The core allows nothing without a record.
            (Decision::Allow(_), None) => return Err(Arc::new(StoreError::NotFound)),
        };
        // If the limits do not answer, the key is valid all the same: its quota is not known.
        let stored = stored.unwrap_or_default();
        if let Ok(usage) = self.usage_now(&record, &stored, now).await {
            record.remaining_uses = usage.remaining.or(record.remaining_uses);
            allowed.quota = record.rate_limit.map(|limit| limit.quota(usage.rate, now));
        }
        allowed.remaining_uses = record.remaining_uses;
        Ok(Answer {
            decision: Decision::Allow(allowed),
            record: Some(Arc::new(record)),
            failure: None,
        })
    }

    /// What the store has for a key now, by a fetch that began after the last invalidation that
    /// this process knows of. Calls that wait for the same key share one, as checks do, and
    /// together they are as many at once as there may be. A record that is older than a change
    /// that is known here is not returned: it is fetched again, and then the call fails.
    async fn current(
        &self,
        lookup: &Lookup,
    ) -> Result<Option<(Arc<KeyRecord>, StoredUsage)>, Arc<StoreError>> {
        let rounds = async {
            for round in 0..ROUNDS_MAX {
                if round > 1 {
                    tokio::time::sleep(ROUND_PAUSE).await;
                }
                let arrived = self.lease.now();
                let wanted = Wanted {
                    as_of: self.keyring.stats().invalidations,
                    fresh_only: true,
                    now: arrived,
                    earliest: self.lease.earliest_fetch(arrived),
                };
                let fetched = self.fetches.fetch(lookup, wanted).await?;
                let Some(record) = fetched.record else {
                    return Ok(None);
                };
                if self.keyring.is_current(&record, wanted.as_of) {
                    return Ok(Some((record, fetched.usage)));
                }
            }
            Err(Arc::new(StoreError::Stale))
        };
        let current = timeout(self.store_timeout, rounds).await;
        current.unwrap_or_else(|late| Err(Arc::new(unanswered(late))))
    }

    /// What was spent: as it is stored, or as this process has counted it if that is more. Of a
    /// limit that is counted elsewhere, as it is known there; the tokens that processes hold
    /// count as spent.
    async fn usage_now(
        &self,
        record: &KeyRecord,
        stored: &StoredUsage,
        now: UnixMillis,
    ) -> Result<Usage, Arc<StoreError>> {
        let mut usage = stored.seen_at(record.rate_limit.as_ref(), now);
        if let (Some(tokens), Some(limit)) = (&self.tokens, record.rate_limit)
            && record.remaining_uses.is_none()
        {
            usage.rate = tokens.state(record.lineage, limit, now).await?;
            return Ok(usage);
        }
        Ok(self.keyring.usage(record, usage, now))
    }

    /// The answer to a check that failed.
    pub(super) fn failed(&self, failure: Arc<StoreError>) -> Answer {
        match &*failure {
            StoreError::Corrupt(row) => {
                let is_due = self.damage_log.is_due(row);
                Answer::damaged(is_due.then_some(failure))
            }
            _ => Answer::unavailable(Some(failure)),
        }
    }
}

/// The error of a fetch that others may wait for too.
fn owned(failure: Arc<StoreError>) -> StoreError {
    Arc::try_unwrap(failure).unwrap_or_else(|failure| match &*failure {
        StoreError::Corrupt(row) => StoreError::Corrupt(row.clone()),
        StoreError::Stale => StoreError::Stale,
        other => {
            let kind = other.unavailable_kind().unwrap_or(UnavailableKind::Other);
            StoreError::unavailable_because(kind, failure)
        }
    })
}
