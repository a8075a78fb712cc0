//! Decisions that spend nothing, with what this process has counted and not written yet.

use std::sync::Arc;

use keystile::{
    Decision, Explanation, KeyId, KeyRecord, Lookup, Request, UnixMillis, Usage, explain, verify,
};

use core::sync::atomic::Ordering;

use super::{Answer, Authenticator, Shared};
use crate::error::StoreError;
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
        let lookup = Lookup::Id(*key_id);
        let found = shared
            .in_time(shared.store.find_with_usage(&lookup))
            .await?;
        let (mut record, stored) = found.ok_or(StoreError::NotFound)?;
        let usage = shared.usage_now(&record, &stored, now);
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
        answer.unwrap_or_else(|failure| shared.failed(Arc::new(failure)))
    }
}

impl<S: Store + 'static> Shared<S> {
    async fn own_key(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, StoreError> {
        let key = match self.verifier.parse(credential) {
            Ok(key) => key,
            Err(denial) => return Ok(Answer::denied(denial)),
        };
        let lookup = self.verifier.lookup(&key);
        let found = match self.in_time(self.store.find_with_usage(&lookup)).await {
            Err(StoreError::Corrupt(row)) => {
                return match row.denies(&self.verifier, &key, now) {
                    Some(denial) => Ok(Answer::denied(denial)),
                    None => Err(StoreError::Corrupt(row)),
                };
            }
            found => found?,
        };
        let (record, stored) = found.unzip();
        // What is left out is not checked and not spent; the order of the checks stays.
        let without_rights = record.clone().map(|mut record| {
            record.allowed_endpoints = None;
            record.rate_limit = None;
            record.remaining_uses = None;
            record
        });
        let nothing = &mut Usage::default();
        let judged = without_rights.as_ref();
        let decision = verify(&self.verifier, &key, judged, request, nothing, now);
        let (mut allowed, mut record) = match (decision, record) {
            (Decision::Allow(allowed), Some(record)) => (allowed, record),
            (Decision::Deny(denial), _) => return Ok(Answer::denied(denial)),
            // The core allows nothing without a record.
            (Decision::Allow(_), None) => return Err(StoreError::NotFound),
        };
        let usage = self.usage_now(&record, &stored.unwrap_or_default(), now);
        record.remaining_uses = usage.remaining.or(record.remaining_uses);
        allowed.remaining_uses = record.remaining_uses;
        allowed.quota = record.rate_limit.map(|limit| limit.quota(usage.rate, now));
        Ok(Answer {
            decision: Decision::Allow(allowed),
            record: Some(Arc::new(record)),
            failure: None,
        })
    }

    /// What was spent: as it is stored, or as this process has counted it if that is more.
    fn usage_now(&self, record: &KeyRecord, stored: &StoredUsage, now: UnixMillis) -> Usage {
        let limit = record.rate_limit.as_ref();
        let mut usage = stored.seen_at(limit, now);
        if let Some(limit) = limit
            && let Some(counted) = self.keyring.rate_state(record)
        {
            usage.rate = usage.rate.max(limit.held(counted, now));
        }
        usage
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
