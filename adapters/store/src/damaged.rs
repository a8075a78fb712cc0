//! Changes of a row that cannot be read: only the fields that are known are written.

use keystile::{Change, Digest, Error, KeyId, KeyRecord, Lookup, Status, UnixMillis};

use crate::batch::{Batch, Upkeep, UpkeepField};
use crate::error::{CorruptRow, StoreError};
use crate::outcome::Outcome;
use crate::store::Store;
use crate::verbs::TRIES_MAX;

/// Ends or suspends a key without the rest of its row, until no other writer changes it in
/// between.
pub(crate) async fn end<S: Store + ?Sized>(
    store: &S,
    key_id: &KeyId,
    verb: impl Fn(&KeyRecord) -> Result<Option<Change>, Error>,
    now: UnixMillis,
) -> Result<Outcome, StoreError> {
    for _ in 0..TRIES_MAX {
        let mut row = match store.find(&Lookup::Id(*key_id)).await {
            Err(StoreError::Corrupt(row)) => row,
            Err(error) => return Err(error),
            Ok(None) => return Err(StoreError::NotFound),
            // It was mended in between: the caller decides by the record.
            Ok(Some(_)) => return Err(StoreError::Stale),
        };
        let stand_in = stand_in(key_id, &row, now)?;
        let Some(change) = verb(&stand_in)? else {
            return Ok(Outcome::Damaged {
                row,
                is_changed: false,
            });
        };
        let mut batch = Batch::new();
        batch.upkeep.extend(Upkeep::status(&change.record));
        batch.events.push(change.event);
        match store.commit(&batch).await {
            Ok(()) => {
                row.status = Some(change.record.status.as_str());
                row.version = Some(change.record.version);
                return Ok(Outcome::Damaged {
                    row,
                    is_changed: true,
                });
            }
            Err(StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}

/// Ends the overlap of a damaged key, which the rotation of a sibling does to every older key.
/// One that is revoked stays as it is.
pub(crate) fn end_overlap(
    batch: &mut Batch,
    row: &CorruptRow,
    now: UnixMillis,
) -> Result<(), StoreError> {
    if row.status == Some("revoked") {
        return Ok(());
    }
    let (Some(key_id), Some(version)) = (row.key_id, row.version) else {
        return Err(StoreError::Corrupt(row.clone()));
    };
    batch.upkeep.push(Upkeep {
        key_id,
        version: version.saturating_add(1),
        field: UpkeepField::OverlapUntil(Some(now)),
    });
    Ok(())
}

/// A record with the id, the status and the version of the row, for the core to decide by. The
/// rest of it is written nowhere.
fn stand_in(key_id: &KeyId, row: &CorruptRow, now: UnixMillis) -> Result<KeyRecord, StoreError> {
    let mut record = KeyRecord::new(*key_id, Digest::sha256(b""), "-", "-", now)?;
    record.version = match row.version {
        Some(version) => version,
        None => return Err(StoreError::Corrupt(row.clone())),
    };
    record.status = match row.status {
        Some("revoked") => Status::Revoked {
            at: now,
            reason: "".into(),
        },
        Some("suspended") => Status::Suspended,
        _ => Status::Active,
    };
    Ok(record)
}
