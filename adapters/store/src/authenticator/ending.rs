//! Revoking, suspending, resuming and removing keys, in force in this process when a verb returns.

use keystile::{KeyId, KeyRecord, UnixMillis};

use super::Authenticator;
use crate::bulk::{BulkEnded, Selection};
use crate::cascade::{Ended, Permit, resume_all, revoke_if, suspend_if};
use crate::delete::delete_if;
use crate::derived::Reach;
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::store::Store;

impl<S: Store + 'static> Authenticator<S> {
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
        let ended = self
            .revoke_reaching(key_id, reason, Reach::Last, now)
            .await?;
        Ok(ended.outcome)
    }

    /// Revokes a key, for good, and the keys that derive from it.
    ///
    /// # Errors
    /// As [`revoke_reaching`](crate::revoke_reaching).
    pub async fn revoke_reaching(
        &self,
        key_id: &KeyId,
        reason: &str,
        reach: Reach,
        now: UnixMillis,
    ) -> Result<Ended, StoreError> {
        self.revoke_if(key_id, reason, reach, now, &|_| true).await
    }

    /// As [`revoke_reaching`](Self::revoke_reaching), if `permit` agrees.
    ///
    /// # Errors
    /// As [`revoke_if`](crate::revoke_if).
    pub async fn revoke_if(
        &self,
        key_id: &KeyId,
        reason: &str,
        reach: Reach,
        now: UnixMillis,
        permit: &Permit<'_>,
    ) -> Result<Ended, StoreError> {
        let _guard = self.invalidates(key_id);
        let store = self.acting_store();
        let ended = revoke_if(&store, key_id, reason, reach, now, permit).await?;
        Ok(self.all_in_force(ended).await)
    }

    /// Revokes the keys of a selection, each as [`revoke_reaching`](Self::revoke_reaching) does.
    /// What fails is in the result, as for [`Selection::revoke`].
    pub async fn revoke_selected(
        &self,
        selection: &Selection,
        reason: &str,
        reach: Reach,
        now: UnixMillis,
    ) -> BulkEnded {
        let mut all = BulkEnded::default();
        for key in &selection.keys {
            let permit = selection.permit();
            let ended = self.revoke_if(&key.id, reason, reach, now, &permit).await;
            if all.add(key.id, ended).is_break() {
                break;
            }
        }
        all
    }

    /// Suspends the keys of a selection, each as [`suspend_reaching`](Self::suspend_reaching)
    /// does. What fails is in the result, as for [`Selection::suspend`].
    pub async fn suspend_selected(&self, selection: &Selection, now: UnixMillis) -> BulkEnded {
        let mut all = BulkEnded::default();
        for key in &selection.keys {
            let permit = selection.permit();
            let ended = self.suspend_if(&key.id, Reach::Last, now, &permit).await;
            if all.add(key.id, ended).is_break() {
                break;
            }
        }
        all
    }

    /// Removes a key that has ended.
    ///
    /// # Errors
    /// As [`delete`](crate::delete).
    pub async fn delete(&self, key_id: &KeyId, now: UnixMillis) -> Result<KeyRecord, StoreError> {
        self.delete_if(key_id, now, &|_| true).await
    }

    /// As [`delete`](Self::delete), if `permit` agrees.
    ///
    /// # Errors
    /// As [`delete_if`](crate::delete_if).
    pub async fn delete_if(
        &self,
        key_id: &KeyId,
        now: UnixMillis,
        permit: &Permit<'_>,
    ) -> Result<KeyRecord, StoreError> {
        let _guard = self.invalidates(key_id);
        let deleted = delete_if(&self.acting_store(), key_id, now, permit).await?;
        self.keyring()
            .invalidate_at(key_id, deleted.version.saturating_add(1));
        Ok(deleted)
    }

    /// Suspends a key until it is resumed.
    ///
    /// # Errors
    /// As [`suspend`](crate::suspend).
    pub async fn suspend(&self, key_id: &KeyId, now: UnixMillis) -> Result<Outcome, StoreError> {
        let ended = self.suspend_reaching(key_id, Reach::Last, now).await?;
        Ok(ended.outcome)
    }

    /// Suspends a key until it is resumed, and with it the keys that derive from it.
    ///
    /// # Errors
    /// As [`suspend_reaching`](crate::suspend_reaching).
    pub async fn suspend_reaching(
        &self,
        key_id: &KeyId,
        reach: Reach,
        now: UnixMillis,
    ) -> Result<Ended, StoreError> {
        self.suspend_if(key_id, reach, now, &|_| true).await
    }

    /// As [`suspend_reaching`](Self::suspend_reaching), if `permit` agrees.
    ///
    /// # Errors
    /// As [`suspend_if`](crate::suspend_if).
    pub async fn suspend_if(
        &self,
        key_id: &KeyId,
        reach: Reach,
        now: UnixMillis,
        permit: &Permit<'_>,
    ) -> Result<Ended, StoreError> {
        let _guard = self.invalidates(key_id);
        let ended = suspend_if(&self.acting_store(), key_id, reach, now, permit).await?;
        Ok(self.all_in_force(ended).await)
    }

    /// Resumes a suspended key.
    ///
    /// # Errors
    /// As [`resume`](crate::resume).
    pub async fn resume(&self, key_id: &KeyId, now: UnixMillis) -> Result<Outcome, StoreError> {
        let permit = |_: &KeyRecord| Ok::<(), StoreError>(());
        self.resume_if(key_id, now, permit).await
    }

    /// As [`resume`](Self::resume), if `permit` agrees for the record of the key. It is asked for
    /// each key that was suspended with it, too: those for which it does not agree stay suspended.
    ///
    /// # Errors
    /// Those of `permit`, and as [`resume`](Self::resume).
    pub async fn resume_if<E: From<StoreError>>(
        &self,
        key_id: &KeyId,
        now: UnixMillis,
        permit: impl Fn(&KeyRecord) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let _guard = self.invalidates(key_id);
        let ended = resume_all(&self.acting_store(), key_id, now, permit).await?;
        Ok(self.all_in_force(ended).await.outcome)
    }
}
