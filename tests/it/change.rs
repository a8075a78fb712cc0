//! A change of a key changes what it names, and nothing else.

use crate::common::service::{Service, at, client};
use keystile::{
    EndpointRules, Error, ErrorKind, Event, EventKind, IssueRequest, KeyChange, KeyRecord, Millis,
    Networks, PermissionSet, RateLimit, RotationPolicy, ScopeTemplate, Status, change, resume,
    revoke, suspend,
};
use proptest::prelude::*;

fn set(permissions: &[&str]) -> PermissionSet {
    PermissionSet::new(permissions).unwrap()
}

fn issued(request: &IssueRequest) -> KeyRecord {
    Service::structured().issue(request).record
}

fn rate(count: u32) -> RateLimit {
    RateLimit::new(count, Millis::from_hours(1)).unwrap()
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// The field, and its values before and after.
fn noted(event: &Event) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let changes = event.changes.iter();
    changes
        .map(|one| (&*one.field, one.from.as_deref(), one.to.as_deref()))
        .collect()
}

/// A change of each field, to a value and back to none.
fn changes() -> Vec<KeyChange> {
    let new = KeyChange::new;
    vec![
        new().client_name("Another").unwrap(),
        new().email("new@acme.example").unwrap(),
        new().email(None).unwrap(),
        new().owner("tenant-2").unwrap(),
        new().owner(None).unwrap(),
        new().permissions(set(&["*"])),
        new().permissions(set(&[])),
        new().add_permissions(set(&["write", "read"])),
        new().remove_permissions(set(&["read"])),
        new().endpoints(EndpointRules::new(["/x"]).unwrap()),
        new().endpoints(None),
        new().networks(Networks::new(["192.0.2.0/24"]).unwrap()),
        new().networks(None),
        new().rate_limit(rate(7)),
        new().rate_limit(None),
        new().uses(7).unwrap(),
        new().uses(None).unwrap(),
        new().expires_in(Millis::from_days(400)).unwrap(),
        new().never_expires(),
        new().template(ScopeTemplate::preset("monitoring").unwrap()),
        new().template(None),
        new().metadata("{\"a\":1}").unwrap(),
        new().metadata(None).unwrap(),
    ]
}

#[test]
fn only_a_change_of_the_uses_sets_them() {
    let new = KeyChange::new;
    assert!(new().uses(7).unwrap().sets_uses());
    assert!(new().uses(None).unwrap().sets_uses());
    assert!(!new().sets_uses());
    assert!(!new().rate_limit(rate(7)).sets_uses());
}

#[test]
fn the_event_has_the_values_before_and_after_except_personal_ones() {
    let request = client()
        .permissions(["read"])
        .and_then(|request| request.email("old@acme.example"))
        .and_then(|request| request.uses(3))
        .unwrap();
    let record = issued(&request);
    let asked = KeyChange::new()
        .client_name("New")
        .and_then(|change| change.email("new@acme.example"))
        .and_then(|change| change.uses(9))
        .and_then(|change| change.metadata("{\"secret\":1}"))
        .and_then(|change| change.expires_in(Millis::from_hours(1)))
        .unwrap()
        .add_permissions(set(&["write"]))
        .endpoints(EndpointRules::new(["GET,HEAD /a", "/b"]).unwrap())
        .networks(Networks::new(["192.0.2.0/24"]).unwrap())
        .rate_limit(rate(5));
    let changed = change(&record, &asked, at(5)).unwrap();
    assert_eq!(changed.event.kind, EventKind::Changed);
    assert_eq!(changed.event.version, Some(record.version + 1));
    assert_eq!(changed.record.version, record.version + 1);
    let (old_end, new_end) = (record.expires_at.unwrap(), at(3_600_005));
    assert_eq!(changed.record.expires_at, Some(new_end));
    assert_eq!(
        noted(&changed.event),
        [
            ("client_name", Some(&*record.client_name), Some("New")),
            ("client_email", None, None),
            ("permissions", Some("read"), Some("read, write")),
            ("allowed_endpoints", None, Some("GET,HEAD /a, /b")),
            ("allowed_networks", None, Some("192.0.2.0/24")),
            ("rate_limit", None, Some("5 in 3600000 ms, burst 5")),
            ("remaining_uses", Some("3"), Some("9")),
            ("metadata", None, None),
            (
                "expires_at",
                Some(&*old_end.get().to_string()),
                Some(&*new_end.get().to_string())
            ),
        ]
    );
}

#[test]
fn a_change_of_nothing_is_refused() {
    let record = issued(&client());
    let same = KeyChange::new().client_name(&record.client_name).unwrap();
    for nothing in [KeyChange::new(), same, KeyChange::new().rate_limit(None)] {
        assert_eq!(
            kind(change(&record, &nothing, at(1))),
            Some(ErrorKind::State)
        );
        assert!(!nothing.alters(&record, at(1)).unwrap());
    }
}

#[test]
fn a_key_that_has_ended_is_not_changed_and_a_suspended_one_is() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let record = &issued.record;
    let revoked = revoke(record, "leaked", at(1)).unwrap().record;
    let issuer = keystile::Issuer::new(service.format.clone());
    let policy = RotationPolicy::default();
    let rotated = issuer.rotate(record, &[], &policy, &mut service.rng, at(1));
    let replaced = rotated.unwrap().changed.remove(0);
    let mut expired = record.clone();
    expired.expires_at = Some(at(2));
    let suspended = suspend(record, at(1)).unwrap().record;
    for asked in changes() {
        for ended in [&revoked, &replaced, &expired] {
            assert_eq!(kind(asked.alters(ended, at(2))), Some(ErrorKind::State));
            assert_eq!(kind(change(ended, &asked, at(2))), Some(ErrorKind::State));
        }
        if let Ok(changed) = change(&suspended, &asked, at(2)) {
            assert_eq!(changed.record.status, Status::Suspended);
            assert!(resume(&changed.record, at(3)).is_ok());
        }
    }
    // The last instant at which it has not expired.
    assert!(change(&expired, &KeyChange::new().never_expires(), at(1)).is_ok());
}

#[test]
fn a_removed_permission_is_no_longer_granted_or_the_change_is_refused() {
    let record = issued(&client().permissions(["invoices:*", "users:read"]).unwrap());
    let remove = |permission: &str| {
        let asked = KeyChange::new().remove_permissions(set(&[permission]));
        change(&record, &asked, at(1))
    };
    let left = remove("users:read").unwrap().record;
    assert_eq!(left.permissions, set(&["invoices:*"]));
    // A part of a wildcard cannot be taken out of it.
    assert_eq!(kind(remove("invoices:read")), Some(ErrorKind::State));
    assert_eq!(kind(remove("other")), Some(ErrorKind::State));
    let covered = issued(&client().permissions(["*", "read"]).unwrap());
    let asked = KeyChange::new().remove_permissions(set(&["read"]));
    assert_eq!(
        kind(change(&covered, &asked, at(1))),
        Some(ErrorKind::State)
    );
    // Both at once is a contradiction.
    let asked = asked.add_permissions(set(&["read"]));
    assert_eq!(
        kind(change(&covered, &asked, at(1))),
        Some(ErrorKind::State)
    );
}

#[test]
fn values_are_checked_as_for_a_new_key() {
    let new = KeyChange::new;
    let long = "x".repeat(256);
    for (refused, expected) in [
        (new().client_name(""), ErrorKind::Record),
        (new().client_name("a\nb"), ErrorKind::Record),
        (new().client_name(&long), ErrorKind::Record),
        (new().email("a\u{7}b"), ErrorKind::Record),
        (new().owner(&*long), ErrorKind::Record),
        (new().metadata(&*"x".repeat(16_385)), ErrorKind::Record),
        (new().uses(0), ErrorKind::Limit),
        (new().uses(i64::MAX.unsigned_abs() + 1), ErrorKind::Limit),
        (new().uses(u64::MAX), ErrorKind::Limit),
        (new().expires_in(Millis::ZERO), ErrorKind::Time),
    ] {
        assert_eq!(kind(refused), Some(expected));
    }
    let record = issued(&client());
    assert!(new().uses(i64::MAX.unsigned_abs()).is_ok());
    let late = new().expires_in(Millis::new(u64::MAX)).unwrap();
    assert_eq!(kind(change(&record, &late, at(1))), Some(ErrorKind::Time));
    let many: Vec<_> = (0..64).map(|number| format!("p{number}")).collect();
    let full = issued(&client().permissions(&many).unwrap());
    let one_more = new().add_permissions(set(&["one-more"]));
    assert_eq!(
        kind(change(&full, &one_more, at(1))),
        Some(ErrorKind::Permission)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is changed: identity, lineage, environment, status and times of the key stay,
    /// the version rises by one, and the event names exactly the fields that differ.
    #[test]
    fn a_change_changes_what_it_names(
        first in 0..changes().len(),
        second in 0..changes().len(),
        template in prop::option::of(prop::sample::select(vec!["monitoring", "admin"])),
    ) {
        let mut request = client().email("ops@acme.example").unwrap().owner("tenant-1").unwrap();
        request = match template {
            Some(name) => {
                request.permissions = None;
                request.template(ScopeTemplate::preset(name).unwrap())
            }
            None => request,
        };
        let mut record = issued(&request);
        for asked in [&changes()[first], &changes()[second]] {
            let before = record.clone();
            let altered = asked.alters(&before, at(9));
            let Ok(changed) = change(&before, asked, at(9)) else {
                prop_assert_ne!(altered, Ok(true));
                continue;
            };
            prop_assert_eq!(altered, Ok(true));
            let after = &changed.record;
            prop_assert_eq!(after.version, before.version + 1);
            prop_assert_eq!(after.id, before.id);
            prop_assert_eq!(after.digest, before.digest);
            prop_assert_eq!(&after.key_prefix, &before.key_prefix);
            prop_assert_eq!(after.lineage, before.lineage);
            prop_assert_eq!(after.environment, before.environment);
            prop_assert_eq!(&after.status, &before.status);
            prop_assert_eq!(after.created_at, before.created_at);
            let named: Vec<_> = changed.event.changes.iter().map(|one| &*one.field).collect();
            let differs = [
                ("client_name", after.client_name != before.client_name),
                ("client_email", after.client_email != before.client_email),
                ("owner", after.owner != before.owner),
                ("permissions", after.permissions != before.permissions),
                ("allowed_endpoints", after.allowed_endpoints != before.allowed_endpoints),
                ("allowed_networks", after.allowed_networks != before.allowed_networks),
                ("rate_limit", after.rate_limit != before.rate_limit),
                ("remaining_uses", after.remaining_uses != before.remaining_uses),
                ("scope_type", after.scope_type != before.scope_type),
                ("metadata", after.metadata != before.metadata),
                ("expires_at", after.expires_at != before.expires_at),
            ];
            let differing: Vec<_> = differs.iter().filter(|one| one.1).map(|one| one.0).collect();
            prop_assert_eq!(named, differing);
            prop_assert!(after.check().is_ok());
            record = changed.record;
        }
    }
}
