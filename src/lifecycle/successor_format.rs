//! The format of a key's successor, derived from the record.

use crate::error::{Error, ErrorKind};
use crate::key::format::{ID_SHOWN, KeyFormat, OPAQUE_SHOWN};
use crate::record::key_record::KeyRecord;

impl KeyFormat {
    /// The format that `record`'s key was issued in, for its successor.
    ///
    /// It is derived from the part of the key that may be shown, which does not determine
    /// everything: the check is CRC-32, so set a keyed one
    /// [again](Self::with_checksum); an opaque key gets the usual 32 random bytes. If your
    /// service accepts only other keys, pass the format instead.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] for keys that were issued elsewhere.
    pub fn like(record: &KeyRecord) -> Result<Self, Error> {
        let elsewhere = Error::new(
            ErrorKind::Format,
            "the key must have been issued in a format of this library",
        )
        .in_field("key_prefix");
        let (head, shown) = record.key_prefix.rsplit_once('_').ok_or(elsewhere)?;
        if shown.len() == OPAQUE_SHOWN {
            return Self::opaque(head);
        }
        let own_id = shown.len() == ID_SHOWN && record.id.as_str().starts_with(shown);
        let prefix = match &record.environment {
            Some(environment) => head
                .strip_suffix(environment.as_str())
                .and_then(|h| h.strip_suffix('_')),
            None => Some(head),
        };
        prefix
            .filter(|_| own_id)
            .ok_or(elsewhere)
            .and_then(Self::structured)
    }
}
