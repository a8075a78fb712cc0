//! Prints a new key: once, and only on standard output.

use keystile::{ApiKey, KeyRecord, UnixMillis};
use keystile_serve::KeyView;
use serde::Serialize;

use crate::failure::Failure;
use crate::io::Io;

/// The key that a new one replaces.
pub(crate) struct Replaced<'r> {
    pub(crate) key_id: &'r str,
    pub(crate) ends_at: String,
}

#[derive(Serialize)]
struct NewKey<'k> {
    key: &'k str,
    key_id: &'k str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<&'k str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_ends_at: Option<&'k str>,
    record: KeyView,
}

/// Prints the key, and checks that it was written. The store has its record already.
pub(crate) fn print_new_key(
    key: &ApiKey,
    record: &KeyRecord,
    replaced: Option<&Replaced<'_>>,
    now: UnixMillis,
    json: bool,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    let written = if json {
        io.json(&NewKey {
            key: key.expose(),
            key_id: record.id.as_str(),
            replaces: replaced.map(|replaced| replaced.key_id),
            replaced_ends_at: replaced.map(|replaced| &*replaced.ends_at),
            record: KeyView::new(record, now),
        })
    } else {
        io.line(key.expose())
    };
    let flushed = written.and_then(|()| Ok(io.output.flush()?));
    // Reported even if the reader is gone: the store now has a record whose key is lost.
    flushed.map_err(|_| {
        let id = &record.id;
        let lost = format!("the new key could not be printed and is lost; revoke {id}");
        Failure::Message(lost.into())
    })
}
