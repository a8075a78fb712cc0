//! What a verb did: it changed the record, or there was nothing to change.

use keystile::KeyRecord;

/// The record of a key after a verb, and whether the verb changed it. In both cases the key
/// has the requested status.
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
