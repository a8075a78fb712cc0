//! Parts of a record as words, for people.

use keystile::{KeyRecord, Status, UnixMillis};

/// The status of a key at `now`, in a word for people.
pub(crate) fn status_text(record: &KeyRecord, now: UnixMillis) -> &'static str {
    let past = |instant: Option<UnixMillis>| instant.is_some_and(|instant| now >= instant);
    match record.status {
        Status::Active if past(record.expires_at) => "expired",
        Status::Active if past(record.overlap_until) => "replaced",
        Status::Active if record.replaced_by.is_some() => "retiring",
        ref status => status.as_str(),
    }
}

/// Items with a separator between them, or `none` if there are no items.
pub(crate) fn joined<T: ToString>(items: impl Iterator<Item = T>, none: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    if items.is_empty() {
        none.to_owned()
    } else {
        items.join(", ")
    }
}
