//! The admin API: manages keys for callers whose own key permits it.

pub(crate) mod bulk;
pub(crate) mod change;
pub(crate) mod change_many;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod issue;
pub(crate) mod list;
pub(crate) mod once;
pub(crate) mod plan;
pub(crate) mod rotate;
pub(crate) mod state;

use serde::Serialize;
use utoipa::ToSchema;

use crate::view::KeyView;

/// A new key. This is the only time its text is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewKey {
    /// The key's text.
    key: String,
    key_id: String,
    /// The key that it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    replaces: Option<String>,
    /// When the replaced key ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    replaced_ends_at: Option<String>,
    record: KeyView,
}
