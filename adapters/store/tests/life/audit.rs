//! What the store has is compared with what the oracle expects.

use core::time::Duration;

use keystile::{DigestKind, KeyId, KeyRecord, RateLimit, Status, UnixMillis};
use keystile_store::Store;

use crate::history::{Record, State};
use crate::meter::Limit;
use crate::world::World;

impl<S: Store + 'static> World<S> {
    /// What the store has is what the oracle expects.
    pub(crate) async fn audit(&mut self) -> Result<(), String> {
        let Some(id) = self.any_key() else {
            return Ok(());
        };
        self.step(format!("audit {id}"));
        let found = self.find(&id).await?;
        let uses = found.as_ref().and_then(|record| record.remaining_uses);
        let expected = self.oracle.current(&id);
        let own = found
            .as_ref()
            .zip(expected)
            .map(|(found, expected)| stored(found, expected));
        if own.as_ref() != expected || own.is_some() != found.is_some() {
            return Err(format!(
                "the store has {own:?} of {found:?} and not {expected:?}"
            ));
        }
        if own.is_some() && uses != self.oracle.uses(&id) {
            return Err(format!(
                "{uses:?} uses are left, not {:?}",
                self.oracle.uses(&id)
            ));
        }
        Ok(())
    }

    /// A use under a new pepper renews the digest. A process that does the same at this moment
    /// may be faster, so it need not be this use that has written it.
    pub(crate) async fn digest_is_renewed(&self, id: &KeyId) -> Result<(), String> {
        let current = DigestKind::HmacSha256 {
            pepper: self.peppers_made,
        };
        for _ in 0..2 {
            let found = self.find(id).await?;
            let is_renewed = found.is_none_or(|record| record.digest.kind() == current);
            if is_renewed || self.peppers_made == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("its use did not renew the digest".to_owned())
    }
}

/// A stored record in the oracle's terms; rights are texts there, and are compared by decisions.
fn stored(record: &KeyRecord, expected: &Record) -> Record {
    let limit = |limit: RateLimit| Limit {
        count: limit.limit(),
        window: limit.window().get(),
        burst: limit.burst(),
    };
    Record {
        rights: expected.rights.clone(),
        limit: record.rate_limit.map(limit),
        state: match record.status {
            Status::Active => State::Active,
            Status::Suspended => State::Suspended,
            _ => State::Revoked,
        },
        expires_at: record.expires_at.map(UnixMillis::get),
        replaced_by: record.replaced_by,
        overlap_until: record.overlap_until.map(UnixMillis::get),
        ends_at_first_use: record.ends_at_first_use,
    }
}
