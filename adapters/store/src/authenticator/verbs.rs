//! The lifecycle of keys, in force in this process when a verb returns.

use std::sync::Arc;

use keystile::{
    Issued, KeyFormat, KeyId, KeyRecord, Keyring, Rotated, RotationPolicy, TryCryptoRng, UnixMillis,
};

use super::Authenticator;
use crate::error::StoreError;
use crate::outcome::Outcome;
use crate::store::Store;
use crate::verbs;

/// Invalidates a key however the change of it ends: a change that failed, or whose caller
/// stopped waiting, may have been written.
struct InvalidateOnDrop<'k> {
    keyring: &'k Keyring<Arc<KeyRecord>>,
    id: KeyId,
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        self.keyring.invalidate(&self.id);
    }
}

impl<S: Store + 'static> Authenticator<S> {
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
        verbs::revoke(&**self.store(), key_id, reason, now).await
    }

    /// Suspends a key until it is resumed.
    ///
    /// # Errors
    /// As [`suspend`](crate::suspend).
    pub async fn suspend(&self, key_id: &KeyId, now: UnixMillis) -> Result<Outcome, StoreError> {
        let _guard = self.invalidates(key_id);
        verbs::suspend(&**self.store(), key_id, now).await
    }

    /// Resumes a suspended key.
    ///
    /// # Errors
    /// As [`resume`](crate::resume).
    pub async fn resume(&self, key_id: &KeyId, now: UnixMillis) -> Result<Outcome, StoreError> {
        let _guard = self.invalidates(key_id);
        verbs::resume(&**self.store(), key_id, now).await
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
        let _guard = self.invalidates(key_id);
        let peppers = self.verifier().peppers();
        let rotated =
            verbs::rotate(&**self.store(), key_id, policy, format, peppers, rng, now).await?;
        let changed = rotated.changed.iter().chain([&rotated.successor]);
        changed.for_each(|record| self.keyring().invalidate(&record.id));
        Ok(rotated)
    }

    fn invalidates(&self, id: &KeyId) -> InvalidateOnDrop<'_> {
        InvalidateOnDrop {
            keyring: self.keyring(),
            id: *id,
        }
    }
}
