//! What a verb did: it changed the record, or the key was as asked already.

use keystile::KeyRecord;

/// The record of a key after a verb, and whether the verb changed it. Either way the key is
/// now as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum Outcome {
    /// The record was changed, and an event was kept.
    Changed(KeyRecord),
    /// The key was as asked already; nothing was written.
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
