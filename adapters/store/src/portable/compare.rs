//! Whether a line is what the store has.

use keystile::{Digest, KeyRecord, Status};

use super::judge::{Verdict, conflict};

/// The record as a dry run keeps it, with a digest of the metadata in its place.
pub(super) fn condensed(mut record: KeyRecord) -> KeyRecord {
    let metadata = record.metadata.take();
    record.metadata = metadata.map(|text| Digest::sha256(text.as_bytes()).to_string().into());
    record
}

/// Whether the store has more uses left than a line.
pub(super) fn exceeds_uses(stored: Option<u64>, line: Option<u64>) -> bool {
    match (stored, line) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(stored), Some(line)) => stored > line,
    }
}

/// Compares a line with the record that the store has, apart from what its use changes.
pub(super) fn compare(line: KeyRecord, stored: &KeyRecord) -> Verdict {
    let lifetimes = line.lifetime_given() == stored.lifetime_given();
    let mut same = line;
    same.remaining_uses = stored.remaining_uses;
    same.last_used_at = stored.last_used_at;
    // A row may lack it, and then it is what it is in a line.
    same.lifetime = stored.lifetime;
    if same == *stored && lifetimes {
        return Verdict::Present;
    }
    if is_revoked(&same) && !is_revoked(stored) {
        let expected = "the export has this key revoked, and the store has not: revoke it there";
        return conflict("status", expected);
    }
    if same.digest != stored.digest {
        return conflict("digest", "the store has this key with another digest");
    }
    if is_revoked(stored) && !is_revoked(&same) {
        return conflict("status", "the key is revoked in the store, and stays so");
    }
    if same.version != stored.version {
        return conflict("version", "the store has another version of this key");
    }
    conflict("id", "the store has this key with other content")
}

pub(super) const fn is_revoked(record: &KeyRecord) -> bool {
    matches!(record.status, Status::Revoked { .. })
}
