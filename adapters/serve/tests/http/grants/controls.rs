//! Each rule finds what breaks it.

use std::collections::{BTreeMap, HashSet};

use keystile::{DerivedFrom, Digest, KeyRecord, PermissionSet, Status, UnixMillis};
use serde_json::json;

use super::random::{Call, Kind};
use super::{Keys, derived, gained, rotated, template, touched, uses};

pub(super) fn key(number: u64, permissions: &[&str]) -> KeyRecord {
    let id = format!("1{number:015}").parse().unwrap();
    let at = UnixMillis::new(1_790_000_000_000 + number).unwrap();
    let digest = Digest::sha256(&number.to_be_bytes());
    let mut key = KeyRecord::new(id, digest, "ks_1000", "a client", at).unwrap();
    key.permissions = PermissionSet::new(permissions).unwrap();
    key
}

pub(super) fn keys(all: &[&KeyRecord]) -> Keys {
    all.iter().map(|key| (key.id, (*key).clone())).collect()
}

pub(super) fn call(kind: Kind, target: Option<&KeyRecord>) -> Call {
    Call {
        kind,
        path: "/v1/templates/gold".to_owned(),
        body: Some(json!({ "permissions": ["b:x"] })),
        target: target.map(|key| key.id),
        once: None,
        is_another: false,
    }
}

pub(super) fn revoked(mut key: KeyRecord) -> KeyRecord {
    let at = key.created_at;
    key.status = Status::Revoked {
        at,
        reason: "leaked".into(),
    };
    key
}

#[test]
fn what_a_call_gives_is_found() {
    let (caller, other) = (key(1, &["a:*"]), key(2, &["b:x"]));
    let issue = call(Kind::Issue, None);
    let before = keys(&[&caller]);
    let gives = |new: &KeyRecord| gained(&caller, &issue, &before, &keys(&[&caller, new]));
    assert!(gives(&other).is_some());
    assert!(gives(&key(2, &["a:x"])).is_none());

    let change = call(Kind::Change, Some(&other));
    let before = keys(&[&caller, &other]);
    assert!(touched(&caller, &change, true, &json!({}), &before).is_some());
    assert!(touched(&caller, &change, false, &json!({}), &before).is_none());

    let mut counted = caller.clone();
    counted.remaining_uses = Some(5);
    let before = keys(&[&counted]);
    let mut new = key(3, &[]);
    new.remaining_uses = Some(1);
    assert!(uses(&counted, &before, &keys(&[&counted, &new])).is_some());
    assert!(uses(&counted, &before, &before).is_none());

    let wide = key(4, &["keystile:owners:any", "a:*"]);
    for (writer, is_found) in [(&caller, true), (&wide, true), (&key(5, &["*"]), false)] {
        let found = template(
            &mut BTreeMap::new(),
            writer,
            &call(Kind::Template, None),
            true,
        );
        assert_eq!(found.is_some(), is_found, "{writer:?}: {found:?}");
    }
}

#[test]
fn what_a_successor_has_is_found() {
    let old = key(1, &["a:x"]);
    let rotation = call(Kind::Rotate, Some(&old));
    let of = |number, permissions: &[&str]| {
        let mut next = key(number, permissions);
        next.lineage = old.lineage;
        next
    };
    let found = |others: &[&KeyRecord], new: &KeyRecord| {
        let mut before = vec![&old];
        before.extend(others);
        let mut after = before.clone();
        after.push(new);
        rotated(&old, &rotation, true, &keys(&before), &keys(&after)).is_some()
    };
    assert!(found(&[], &of(2, &["a:y"])));
    assert!(!found(&[], &of(2, &["a:x"])));
    // A third live key that never ends.
    let third = of(3, &["a:x"]);
    assert!(found(&[&third], &of(2, &["a:x"])));
    assert!(!found(&[&revoked(third)], &of(2, &["a:x"])));
}

#[test]
fn what_a_derived_key_has_is_found() {
    let source = key(1, &["a:x"]);
    let of = |permissions: &[&str]| {
        let mut key = key(2, permissions);
        key.derived_from = Some(DerivedFrom::new(source.id, source.lineage));
        key
    };
    let (wide, narrow) = (of(&["a:*"]), of(&["a:x"]));
    let none = HashSet::new();
    let kept = HashSet::from([wide.lineage]);
    assert!(derived(&none, &keys(&[&source, &wide])).is_some());
    assert!(derived(&kept, &keys(&[&source, &wide])).is_none());
    assert!(derived(&none, &keys(&[&source, &narrow])).is_none());
    let ended = revoked(source.clone());
    assert!(
        derived(&kept, &keys(&[&ended, &wide])).is_some(),
        "not kept"
    );
    assert!(derived(&none, &keys(&[&narrow])).is_some(), "no source");
}
