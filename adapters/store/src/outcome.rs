//! What a verb did: it changed the record, or there was nothing to change.

use keystile::{KeyId, KeyRecord};

use crate::error::CorruptRow;

/// The record of a key after a verb, and whether the verb changed it. In each case the key
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
/// assert!(matches!(&again, Outcome::Unchanged(record) if Some(record) == first.record()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth outcome")]
pub enum Outcome {
    /// The record was changed, and an event was written.
    Changed(KeyRecord),
    /// The key already had the requested status; nothing was written.
    Unchanged(KeyRecord),
    /// The row cannot be read, and so the key is refused in any case.
    Damaged {
        /// Where it is damaged. It has the key's id, and its status and version from now on.
        row: CorruptRow,
        /// Whether the status was changed, and an event written.
        is_changed: bool,
    },
}

impl Outcome {
    /// The record as it is now, unless its row cannot be read.
    #[must_use]
    pub const fn record(&self) -> Option<&KeyRecord> {
        match self {
            Self::Changed(record) | Self::Unchanged(record) => Some(record),
            Self::Damaged { .. } => None,
        }
    }

    /// The record as it is now, unless its row cannot be read.
    #[must_use]
    pub fn into_record(self) -> Option<KeyRecord> {
        match self {
            Self::Changed(record) | Self::Unchanged(record) => Some(record),
            Self::Damaged { .. } => None,
        }
    }

    /// Where the row is damaged, if it cannot be read.
    #[must_use]
    pub const fn damage(&self) -> Option<&CorruptRow> {
        match self {
            Self::Changed(_) | Self::Unchanged(_) => None,
            Self::Damaged { row, .. } => Some(row),
        }
    }

    /// The key, and its version from now on.
    #[must_use]
    pub const fn version(&self) -> Option<(KeyId, u64)> {
        match self {
            Self::Changed(record) | Self::Unchanged(record) => Some((record.id, record.version)),
            Self::Damaged { row, .. } => match (row.key_id, row.version) {
                (Some(id), Some(version)) => Some((id, version)),
                _ => None,
            },
        }
    }

    /// Whether the key was changed.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        match self {
            Self::Changed(_) => true,
            Self::Unchanged(_) => false,
            Self::Damaged { is_changed, .. } => *is_changed,
        }
    }
}
