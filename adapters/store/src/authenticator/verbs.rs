//! The lifecycle of keys, in force in this process when a verb returns.

use std::sync::Arc;

use keystile::{
    IssueRequest, Issued, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, Keyring, Rotated,
    RotationPolicy, TryCryptoRng, UnixMillis,
};

use super::Authenticator;
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::store::Store;
use crate::verbs;

/// Invalidates a key, and the others that its change concerns, however the change ends: one
/// that failed, or whose caller stopped waiting, may have been written.
struct InvalidateOnDrop<'k> {
    keyring: &'k Keyring<Arc<KeyRecord>>,
    id: KeyId,
    others: Vec<KeyId>,
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        for id in core::iter::once(&self.id).chain(&self.others) {
            self.keyring.invalidate(id);
        }
    }
}

impl<S: Store + 'static> Authenticator<S> {
    /// Issues a key and saves it.
    ///
    /// Its text is in the result, and nowhere else.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use keystile_store::MemoryStore;
    /// use keystile::{
    ///     DenialCode, IssueRequest, Issuer, KeyFormat, Request, Requirement, SysRng, UnixMillis,
    ///     Verifier,
    /// };
    /// use keystile_store::Authenticator;
    ///
    /// let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// let verifier = Verifier::new(issuer.format().clone());
    /// # let store = Arc::new(MemoryStore::new());
    /// let authenticator = Authenticator::builder(store, verifier).build()?;
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    ///
    /// let request = IssueRequest::new("Acme Ltd")?.permissions(["read"])?;
    /// let issued = authenticator.issue(&issuer, &request, &mut SysRng, now).await?;
    /// let key = issued.key.expose().as_bytes();
    /// let answer = authenticator.check(key, &Request::new(), now).await;
    /// assert!(answer.decision.is_allow());
    ///
    /// let write = Requirement::parse("write")?;
    /// let answer = authenticator.check(key, &Request::new().requires(&write), now).await;
    /// assert_eq!(answer.decision.denial().unwrap().code(), DenialCode::PermissionMissing);
    /// # Ok::<(), keystile_store::StoreError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Issuer::issue`], in [`StoreError::Refused`], and
    /// [`save_issued`](Self::save_issued).
    pub async fn issue<R: TryCryptoRng + ?Sized>(
        &self,
        issuer: &Issuer,
        request: &IssueRequest,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Issued, StoreError> {
        let issued = issuer.issue(request, rng, now)?;
        self.save_issued(&issued).await?;
        Ok(issued)
    }

    /// Saves a newly issued key, which is accepted from now on.
    ///
    /// # Errors
    /// As [`save_issued`](crate::save_issued).
    pub async fn save_issued(&self, issued: &Issued) -> Result<(), StoreError> {
        let _guard = self.invalidates(&issued.record.id);
        verbs::save_issued(&**self.store(), issued).await
    }

    /// Revokes a key, for good. After this returns, no check that begins in this process
    /// allows the key.
    ///
    /// # Errors
    /// As [`revoke`](crate::revoke).
    pub async fn revoke(
        &self,
        key_id: &KeyId,
        reason: &str,
        now: UnixMillis,
    ) -> Result<Outcome, StoreError> {
        let _guard = self.invalidates(key_id);
        let outcome = verbs::revoke(&**self.store(), key_id, reason, now).await?;
        Ok(self.in_force(outcome))
    }

    /// Suspends a key until it is resumed.
    ///
    /// # Errors
    /// As [`suspend`](crate::suspend).
    pub async fn suspend(&self, key_id: &KeyId, now: UnixMillis) -> Result<Outcome, StoreError> {
        let _guard = self.invalidates(key_id);
        let outcome = verbs::suspend(&**self.store(), key_id, now).await?;
        Ok(self.in_force(outcome))
    }

    /// Resumes a suspended key.
    ///
    /// # Errors
    /// As [`resume`](crate::resume).
    pub async fn resume(&self, key_id: &KeyId, now: UnixMillis) -> Result<Outcome, StoreError> {
        let _guard = self.invalidates(key_id);
        let outcome = verbs::resume(&**self.store(), key_id, now).await?;
        Ok(self.in_force(outcome))
    }

    /// Changes what a key may do, or whom it belongs to. After this returns, each check that
    /// begins in this process is decided by the changed record.
    ///
    /// # Errors
    /// As [`change`](crate::change).
    pub async fn change(
        &self,
        key_id: &KeyId,
        requested: &KeyChange,
        now: UnixMillis,
    ) -> Result<Outcome, StoreError> {
        self.change_if(key_id, requested, now, |_, _| Ok(())).await
    }

    /// As [`change`](Self::change), if `permit` agrees.
    ///
    /// # Errors
    /// As [`change_if`](crate::change_if).
    pub async fn change_if<E: From<StoreError>>(
        &self,
        key_id: &KeyId,
        requested: &KeyChange,
        now: UnixMillis,
        permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let mut guard = self.invalidates(key_id);
        let (store, concerned) = (&**self.store(), &mut guard.others);
        let written = verbs::write_change(store, key_id, requested, now, permit, concerned).await?;
        for other in &written.others {
            self.keyring().invalidate_at(&other.id, other.version);
        }
        Ok(self.in_force(written.outcome))
    }

    /// Gives a key a successor; its digest is made under the verifier's peppers.
    ///
    /// # Errors
    /// As [`rotate`](crate::rotate).
    pub async fn rotate<R: TryCryptoRng + ?Sized>(
        &self,
        key_id: &KeyId,
        policy: &RotationPolicy,
        format: Option<&KeyFormat>,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Rotated, StoreError> {
        let mut guard = self.invalidates(key_id);
        let peppers = self.verifier().peppers();
        let (store, concerned) = (&**self.store(), &mut guard.others);
        let (rotated, ended) =
            verbs::rotate_all(store, key_id, policy, format, peppers, rng, now, concerned).await?;
        let changed = rotated.changed.iter().chain([&rotated.successor]);
        let changed = changed.map(|record| (record.id, record.version));
        for (id, version) in changed.chain(ended) {
            self.keyring().invalidate_at(&id, version);
        }
        Ok(rotated)
    }

    /// No older record is admitted from now on, not even from a replica that lags.
    fn in_force(&self, outcome: Outcome) -> Outcome {
        if let Some((id, version)) = outcome.version() {
            self.keyring().invalidate_at(&id, version);
        }
        outcome
    }

    fn invalidates(&self, id: &KeyId) -> InvalidateOnDrop<'_> {
        InvalidateOnDrop {
            keyring: self.keyring(),
            id: *id,
            others: Vec::new(),
        }
    }
}
