//! Records and lines to make cases of.

use keystile::{DerivedFrom, Digest, KeyId, KeyRecord, Status, UnixMillis};
use keystile_store::{DigestBytes, ExportEnd, PortableKey, PortableLine, RemovedKey};

pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

pub(crate) fn id(number: u64) -> KeyId {
    format!("1{number:015}").parse().unwrap()
}

pub(crate) fn digest(number: u64) -> Digest {
    Digest::sha256(&number.to_be_bytes())
}

/// A record without optional fields.
pub(crate) fn plain(number: u64) -> KeyRecord {
    KeyRecord::new(
        id(number),
        digest(number),
        "acme_1000",
        "Acme Ltd",
        at(number),
    )
    .unwrap()
}

pub(crate) fn counted(number: u64, uses: u64) -> KeyRecord {
    let mut record = plain(number);
    record.remaining_uses = Some(uses);
    record
}

pub(crate) fn derived(number: u64, source: u64, uses: Option<u64>) -> KeyRecord {
    let mut record = plain(number);
    record.derived_from = Some(DerivedFrom::new(id(source), id(source)));
    record.remaining_uses = uses;
    record
}

pub(crate) fn revoked(mut record: KeyRecord) -> KeyRecord {
    record.status = Status::Revoked {
        at: at(7),
        reason: "leaked".into(),
    };
    record.version += 1;
    record
}

/// A key and its successor.
pub(crate) fn replaced(mut record: KeyRecord, successor: u64, overlap: u64) -> [KeyRecord; 2] {
    let mut next = plain(successor);
    next.lineage = record.lineage;
    next.derived_from = record.derived_from;
    record.replaced_by = Some(next.id);
    record.overlap_until = Some(at(overlap));
    [record, next]
}

pub(crate) fn line(record: KeyRecord) -> String {
    PortableLine::Key(Box::new(PortableKey::new(record))).to_text()
}

pub(crate) fn with_former(record: KeyRecord, former: &[u64]) -> String {
    let mut key = PortableKey::new(record);
    key.former_digests = digests(former);
    PortableLine::Key(Box::new(key)).to_text()
}

/// A key that was removed, and revoked before that.
pub(crate) fn removed(number: u64, had: &[u64]) -> RemovedKey {
    let mut removed = RemovedKey::new(id(number), 4);
    removed.revoked = Some((at(9), "leaked".into()));
    removed.digests = digests(had);
    removed
}

pub(crate) fn removed_line(removed: &RemovedKey) -> String {
    PortableLine::Removed(removed.clone()).to_text()
}

pub(crate) fn end(keys: u64, removed_keys: u64) -> String {
    ExportEnd::new(keys, removed_keys).to_text()
}

fn digests(numbers: &[u64]) -> Vec<DigestBytes> {
    let mut digests: Vec<_> = numbers.iter().map(|one| *digest(*one).bytes()).collect();
    digests.sort_unstable();
    digests
}
