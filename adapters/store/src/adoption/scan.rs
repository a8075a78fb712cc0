//! Reads the rows as they will be after the adoption, by what reads them then.

use keystile::{KeyRecord, Status};

use super::AdoptionPlan;
use crate::error::{CorruptRow, StoreError};

const RULES_EXPECTED: &str =
    "JSON, with an array of endpoint rules as allowedEndpoints or without this member";

/// What a row has besides its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFacts {
    pub(crate) row: i64,
    /// Its metadata has endpoint rules, or it is not known whether it has some.
    pub(crate) has_endpoints: bool,
    /// Its `expires_at` is `infinity`; the record is read as if it never expires.
    pub(crate) is_infinite: bool,
}

impl AdoptionPlan {
    /// Counts a row, whose record is as it will be.
    pub(crate) fn note(
        &mut self,
        facts: RowFacts,
        record: Result<KeyRecord, StoreError>,
    ) -> Result<(), StoreError> {
        self.rows = self.rows.saturating_add(1);
        if facts.is_infinite {
            self.infinite.add(facts.row);
        }
        let record = match record {
            Ok(record) => record,
            Err(StoreError::Corrupt(damage)) => {
                self.unreadable.add(match damage.column {
                    // It is copied from the metadata.
                    "allowed_endpoints" => CorruptRow::new(facts.row, "metadata", RULES_EXPECTED),
                    _ => damage,
                });
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if record.status != Status::Active {
            self.inactive = self.inactive.saturating_add(1);
            return Ok(());
        }
        if record.expires_at.is_some_and(|end| end <= self.now) {
            self.expired = self.expired.saturating_add(1);
        }
        if record.permissions.iter().any(|text| text.contains('*')) {
            self.wildcards.add(facts.row);
        }
        if facts.has_endpoints {
            self.metadata_endpoints.add(facts.row);
        }
        Ok(())
    }
}
