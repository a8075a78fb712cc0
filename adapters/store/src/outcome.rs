//! What a verb did: it changed the record, or there was nothing to change.

use keystile::KeyRecord;

/// The record of a key after a verb, and whether the verb changed it. In both cases the key
/// has the requested status.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{revoke, save_issued, MemoryStore, Outcome, StoreError};
///
/// let store = MemoryStore::new();
/// let unknown = revoke(&store, &issued.record.id, "leaked", now).await;
/// assert!(matches!(unknown, Err(StoreError::NotFound)));
///
/// save_issued(&store, &issued).await?;
/// let first = revoke(&store, &issued.record.id, "leaked", now).await?;
/// assert!(first.is_changed());
/// let again = revoke(&store, &issued.record.id, "another reason", now).await?;
/// assert!(matches!(again, Outcome::Unchanged(record) if record == *first.record()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum Outcome {
    /// The record was changed, and an event was written.
    Changed(KeyRecord),
    /// The key already had the requested status; nothing was written.
    Unchanged(KeyRecord),
}

impl Outcome {
    /// The record as it is now.
    #[must_use]
    pub const fn record(&self) -> &KeyRecord {
        match self {
            Self::Changed(record) | Self::Unchanged(record) => record,
        }
    }

    /// The record as it is now.
    #[must_use]
    pub fn into_record(self) -> KeyRecord {
        match self {
            Self::Changed(record) | Self::Unchanged(record) => record,
        }
    }

    /// Whether the record was changed.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}
