//! The records, instants and batches of the cases.

use keystile::{
    DerivedFrom, Digest, DigestKind, EndpointRules, Environment, Event, EventKind, KeyFormat,
    KeyId, KeyRecord, Lookup, Millis, Networks, PepperRing, PermissionSet, RateLimit, Status,
    TemplateName, UnixMillis,
};

use crate::batch::Batch;
use crate::store::Store;

/// An instant in 2026, plus this many milliseconds.
pub(super) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

pub(super) fn id(number: u64) -> KeyId {
    format!("1{number:015}").parse().unwrap()
}

pub(super) fn digest(number: u64) -> Digest {
    Digest::sha256(&number.to_be_bytes())
}

/// A record without any optional field.
pub(super) fn plain(number: u64) -> KeyRecord {
    KeyRecord::new(
        id(number),
        digest(number),
        "acme_1000",
        "Acme Ltd",
        at(number),
    )
    .unwrap()
}

/// A record with every optional field, the first of its lineage.
pub(super) fn full(number: u64) -> KeyRecord {
    let mut record = plain(number);
    let kind = DigestKind::HmacSha256 { pepper: u32::MAX };
    record.digest = Digest::new(kind, *digest(number).bytes());
    record.client_email = Some("ops@acme.example".into());
    record.owner = Some("tenant-7".into());
    record.environment = Some(Environment::new("live").unwrap());
    record.permissions = PermissionSet::new(["read", "invoices:*", "org:*:audit"]).unwrap();
    record.allowed_endpoints =
        Some(EndpointRules::new(["GET,HEAD /api/metrics/*", "/api/users/*/name"]).unwrap());
    record.allowed_networks = Some(Networks::new(["192.0.2.0/24", "2001:db8::/32"]).unwrap());
    record.rate_limit = Some(RateLimit::with_burst(100, Millis::from_secs(60), 7).unwrap());
    record.remaining_uses = Some(12);
    record.scope_type = Some(TemplateName::new("monitoring").unwrap());
    record.metadata = Some(r#"{"plan": "gold", "seats": [1, 2]}"#.into());
    record.last_used_at = Some(at(1_001));
    record.expires_at = Some(at(9_999));
    record.status = Status::Revoked {
        at: at(5_000),
        reason: "leaked in a log".into(),
    };
    record.replaced_by = Some(id(number + 1));
    record.overlap_until = Some(at(4_999));
    record.ends_at_first_use = Some(id(number + 2));
    record.lifetime = Some(Millis::new(1_234));
    record.derived_from = Some(DerivedFrom::new(id(number + 3), id(number + 4)));
    record.version = 41;
    record
}

/// The record after a change of only its version.
pub(super) fn next(record: &KeyRecord) -> KeyRecord {
    let mut next = record.clone();
    next.version += 1;
    next
}

pub(super) fn revoked(record: &KeyRecord, reason: &str) -> KeyRecord {
    let mut next = next(record);
    next.status = Status::Revoked {
        at: at(7),
        reason: reason.into(),
    };
    next
}

pub(super) fn inserts<const N: usize>(records: [&KeyRecord; N]) -> Batch {
    noted(Batch {
        inserts: records.map(KeyRecord::clone).into(),
        ..Batch::new()
    })
}

pub(super) fn updates<const N: usize>(records: [&KeyRecord; N]) -> Batch {
    noted(Batch {
        updates: records.map(KeyRecord::clone).into(),
        ..Batch::new()
    })
}

/// The batch with an event of each record that has none.
pub(super) fn noted(mut batch: Batch) -> Batch {
    batch.note_the_rest(at(0));
    batch
}

pub(super) fn event(number: u64) -> Event {
    Event::new(EventKind::Issued, id(number), at(number))
}

pub(super) async fn insert<const N: usize>(store: &impl Store, records: [&KeyRecord; N]) {
    store
        .commit(&inserts(records))
        .await
        .expect("new records are accepted");
}

pub(super) async fn find(store: &impl Store, id: &KeyId) -> Option<KeyRecord> {
    store
        .find(&Lookup::Id(*id))
        .await
        .expect("a lookup by id does not fail")
}

pub(super) async fn all_events(store: &impl Store) -> Vec<Event> {
    let events = store
        .events(None, 0, usize::MAX)
        .await
        .expect("reading events does not fail")
        .events;
    events.into_iter().map(|(_, event)| event).collect()
}

/// The text of an opaque key of 64 hex digits.
pub(super) fn opaque(number: u64) -> String {
    format!("dt_{number:064x}")
}

/// The lookup for that opaque key.
pub(super) fn opaque_lookup(key: &str, peppers: &PepperRing) -> Lookup {
    let format = KeyFormat::opaque("dt").unwrap();
    format
        .parse(key.as_bytes())
        .expect("a well-formed key")
        .lookup(peppers)
}

/// Fails with the name of the first field that differs.
#[track_caller]
pub(super) fn assert_same(found: Option<&KeyRecord>, expected: &KeyRecord, context: &str) {
    let found = found.unwrap_or_else(|| panic!("{context}: expected a record"));
    macro_rules! same {
        ($($field:ident)+) => {
            $(assert!(
                found.$field == expected.$field,
                concat!("{}: `", stringify!($field), "` is returned unchanged: {:?} for {:?}"),
                context, found.$field, expected.$field,
            );)+
        };
    }
    same! { id digest key_prefix client_name client_email owner environment permissions
    allowed_endpoints allowed_networks rate_limit remaining_uses scope_type metadata
    created_at last_used_at expires_at status lineage replaced_by overlap_until
    ends_at_first_use lifetime derived_from suspended_with version }
    assert!(
        found == expected,
        "{context}: the record is returned unchanged"
    );
}
