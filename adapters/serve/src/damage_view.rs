//! Damaged rows in JSON, as the service and the command line print them.

use keystile_store::CorruptRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::view::KeyView;

/// A stored row that cannot be read: where it is damaged, and what was expected there. What was
/// found there is not shown.
///
/// ```
/// use keystile_serve::DamageView;
/// use keystile_store::CorruptRow;
///
/// let row = CorruptRow::new(7, "expires_at", "a finite instant from 1973 to 9999");
/// let json = serde_json::to_value(DamageView::new(&row))?;
/// assert_eq!(json["row"], 7);
/// assert_eq!(json["column"], "expires_at");
/// assert!(json["key_id"].is_null(), "not even the id can be read");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct DamageView {
    /// The number of the row in its table; null for callers that may not see all rows.
    row: Option<i64>,
    /// The key's public id; null if it cannot be read.
    key_id: Option<String>,
    column: &'static str,
    /// What was expected in the column.
    expected: &'static str,
}

/// A key whose row is damaged, after a change of its status.
///
/// ```
/// use keystile_serve::{DamageView, DamagedKeyView};
/// use keystile_store::CorruptRow;
///
/// let mut row = CorruptRow::new(7, "permissions", "a JSON array of permissions");
/// row.key_id = Some("1AbCdEfGhIjKlMnO".parse()?);
/// (row.status, row.version) = (Some("revoked"), Some(3));
/// let json = serde_json::to_value(DamagedKeyView::new(&row, DamageView::new(&row)))?;
/// assert_eq!((&json["key_id"], &json["status"]), (&"1AbCdEfGhIjKlMnO".into(), &"revoked".into()));
/// assert_eq!(json["damaged"]["column"], "permissions");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, ToSchema)]
pub struct DamagedKeyView {
    key_id: Option<String>,
    /// `active`, `suspended` or `revoked`.
    status: Option<&'static str>,
    version: Option<u64>,
    damaged: DamageView,
}

/// A key, or what is known of one whose stored record is damaged: then it has `damaged`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum KeyOrDamage {
    Key(Box<KeyView>),
    Damage(DamagedKeyView),
}

impl DamageView {
    /// A damaged row.
    #[must_use]
    pub fn new(row: &CorruptRow) -> Self {
        Self {
            row: Some(row.row),
            key_id: row.key_id.map(|id| id.to_string()),
            column: row.column,
            expected: row.expected,
        }
    }

    /// The same without the number of the row.
    pub(crate) fn without_row(self) -> Self {
        Self { row: None, ..self }
    }
}

impl DamagedKeyView {
    /// The key in a damaged row.
    #[must_use]
    pub fn new(row: &CorruptRow, damaged: DamageView) -> Self {
        Self {
            key_id: row.key_id.map(|id| id.to_string()),
            status: row.status,
            version: row.version,
            damaged,
        }
    }
}
