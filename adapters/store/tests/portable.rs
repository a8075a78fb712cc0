//! The lines of an export: what is written is read as it was, and nothing else is read.
#![cfg(feature = "portable")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their fixtures"
)]

use keystile::{
    DerivedFrom, Digest, DigestKind, EndpointRules, Environment, KeyId, KeyRecord, Millis,
    Networks, PermissionSet, RateLimit, RateState, Status, TemplateName, UnixMillis,
};
use keystile_store::{LINE_BYTES_MAX, LineProblem, PortableKey, PortableLine, RemovedKey};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A text that no message may repeat.
const CANARY: &str = "ks_live_canary";

fn id() -> impl Strategy<Value = KeyId> {
    "1[0-9A-Za-z]{15}".prop_map(|text| text.parse().unwrap())
}

fn instant() -> impl Strategy<Value = UnixMillis> {
    (UnixMillis::MIN.get()..UnixMillis::MAX.get())
        .prop_map(|millis| UnixMillis::new(millis).unwrap())
}

fn text() -> impl Strategy<Value = Box<str>> {
    "[^\\p{Cc}]{1,60}".prop_map(Into::into)
}

prop_compose! {
    fn rights()(
        permissions in prop::collection::vec("[a-z]{1,5}(:[a-z]{1,5})?(:\\*)?", 0..5),
        endpoints in option::of(prop::collection::vec("(GET )?/[a-z]{1,5}/\\*", 0..4)),
        networks in option::of(prop::collection::vec("10\\.[0-9]\\.0\\.0/16", 0..3)),
        limit in option::of((1..9_999_u32, 1..1_000_u32, 1..9_999_u32)),
    ) -> (PermissionSet, Option<EndpointRules>, Option<Networks>, Option<RateLimit>) {
        (
            PermissionSet::new(permissions).unwrap(),
            endpoints.map(|rules| EndpointRules::new(rules).unwrap()),
            networks.map(|networks| Networks::new(networks).unwrap()),
            limit.and_then(|(limit, window, burst)| {
                RateLimit::with_burst(limit, Millis::from_secs(window), burst).ok()
            }),
        )
    }
}

prop_compose! {
    fn key()(
        (id, other, third) in (id(), id(), id()),
        digest in any::<[u8; 32]>(),
        pepper in option::of(any::<u32>()),
        (name, email, owner, metadata) in (text(), option::of(text()), option::of(text()), option::of("(?s).{0,200}")),
        (permissions, endpoints, networks, limit) in rights(),
        (uses, rate) in (option::of(0..i64::MAX.unsigned_abs()), any::<u64>()),
        (created, used, expires, at) in (instant(), option::of(instant()), option::of(instant()), instant()),
        (status, is_derived, is_replaced, version) in (0..3, any::<bool>(), any::<bool>(), 1..=1_u64 << 62),
        former in prop::collection::btree_set(any::<[u8; 32]>(), 0..4),
        lifetime in option::of(1..1_000_000_u64),
    ) -> PortableKey {
        let kind = pepper.map_or(DigestKind::Sha256, |pepper| DigestKind::HmacSha256 { pepper });
        let digest = Digest::new(kind, digest);
        let mut record = KeyRecord::new(id, digest, "acme_live_1AbC", &name, created).unwrap();
        record.client_email = email;
        record.owner = owner;
        record.environment = Some(Environment::new("live").unwrap());
        (record.permissions, record.allowed_endpoints) = (permissions, endpoints);
        (record.allowed_networks, record.rate_limit) = (networks, limit);
        record.scope_type = Some(TemplateName::new("monitoring").unwrap());
        record.metadata = metadata.map(Into::into);
        (record.last_used_at, record.expires_at) = (used, expires);
        record.remaining_uses = uses;
        record.status = match status {
            0 => Status::Active,
            1 => Status::Suspended,
            _ => Status::Revoked { at, reason: "it \"leaked\"".into() },
        };
        if is_derived && other != id {
            record.derived_from = Some(DerivedFrom::new(other, third));
        }
        if is_replaced && third != id {
            (record.replaced_by, record.overlap_until) = (Some(third), Some(at));
        }
        record.lifetime = lifetime.map(Millis::new).filter(|_| expires.is_some());
        record.version = version;
        let mut key = PortableKey::new(record);
        key.rate = RateState::from_bits(rate);
        key.former_digests = former.into_iter().filter(|one| one != digest.bytes()).collect();
        key
    }
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written(key in key()) {
        let text = PortableLine::Key(Box::new(key.clone())).to_text();
        prop_assert!(text.len() <= LINE_BYTES_MAX && !text.contains('\n'));
        let read = PortableLine::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.to_text(), text);
        let PortableLine::Key(read) = read else { panic!("a key") };
        prop_assert_eq!(&read.record.metadata, &key.record.metadata);
        prop_assert_eq!(read.rate, key.rate);
        let shown = key.to_public_text();
        prop_assert!(PortableLine::parse(shown.as_bytes()).is_err(), "without its digest");
    }

    /// A byte that is changed is noticed, or makes another line that is written as it is read.
    #[test]
    fn no_line_is_read_as_another(key in key(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = PortableLine::Key(Box::new(key)).to_text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = PortableLine::parse(&bytes) {
            let again = PortableLine::parse(read.to_text().as_bytes()).unwrap();
            prop_assert_eq!(again, read);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = PortableLine::parse(&bytes);
    }
}

fn sample() -> Value {
    let digest = Digest::sha256(b"a");
    let now = UnixMillis::new(1_790_000_000_000).unwrap();
    let id = "1AbCdEfGhIjKlMnO".parse().unwrap();
    let mut record = KeyRecord::new(id, digest, "acme_1AbC", "Acme", now).unwrap();
    record.metadata = Some("{}".into());
    let line = PortableLine::Key(Box::new(PortableKey::new(record))).to_text();
    serde_json::from_str(&line).unwrap()
}

fn problem(line: &Value) -> LineProblem {
    let problem = PortableLine::parse(line.to_string().as_bytes()).unwrap_err();
    assert!(!problem.to_string().contains(CANARY), "{problem}");
    problem
}

#[test]
fn each_field_is_needed_and_named() {
    let whole = sample();
    assert!(PortableLine::parse(whole.to_string().as_bytes()).is_ok());
    let names: Vec<String> = whole["key"].as_object().unwrap().keys().cloned().collect();
    assert!(names.len() >= 22);
    for name in &names {
        let mut line = whole.clone();
        line["key"].as_object_mut().unwrap().remove(name);
        assert_eq!(problem(&line).field, name, "it is missing");
        // Texts that nothing limits to a form may have this one.
        if matches!(
            &**name,
            "client_name" | "client_email" | "owner" | "key_prefix" | "metadata"
        ) {
            line["key"][name] = json!({ CANARY: 1 });
        } else {
            line["key"][name] = json!(CANARY.to_uppercase() + CANARY + "!");
        }
        assert_eq!(problem(&line).field, name, "it is no value of the field");
    }
    for (name, value) in [
        ("lifetime_ms", json!(CANARY)),
        ("suspended_with", json!(CANARY)),
        ("derived_from", json!({ "key_id": CANARY })),
    ] {
        let mut line = whole.clone();
        line["key"][name] = value;
        assert_eq!(problem(&line).field, name);
    }
    for name in ["rate_state", "former_digests", "keystile_export", "key"] {
        let mut line = whole.clone();
        line.as_object_mut().unwrap().remove(name);
        problem(&line);
        line[name] = json!(CANARY);
        problem(&line);
    }
}

#[test]
fn what_is_not_known_or_there_twice_is_refused() {
    let whole = sample();
    let mut line = whole.clone();
    line["key"][CANARY] = json!(1);
    assert_eq!(problem(&line).field, "key");
    let mut line = whole.clone();
    line[CANARY] = json!(1);
    assert_eq!(problem(&line).field, "line");
    let text = whole.to_string();
    for (once, twice) in [
        ("\"owner\":null", "\"owner\":null,\"owner\":null"),
        (
            "\"rate_state\":\"0\"",
            "\"rate_state\":\"0\",\"rate_state\":\"0\"",
        ),
    ] {
        assert!(text.contains(once));
        let problem = PortableLine::parse(text.replace(once, twice).as_bytes()).unwrap_err();
        assert_eq!(problem.to_string(), "line: must not have a member twice");
    }
    let mut line = whole.clone();
    line["key"]["replaced_by"] = json!("1AbCdEfGhIjKlMnP");
    assert!(
        problem(&line).expected.contains("overlap_until"),
        "fields that belong together"
    );
    for rate in ["-1", "+1", "01", "", " 1", "1.0", "18446744073709551616"] {
        let mut line = whole.clone();
        line["rate_state"] = json!(rate);
        assert_eq!(problem(&line).field, "rate_state");
    }
    let digit = "0".repeat(64);
    let own = whole["key"]["digest"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:");
    for digests in [
        json!([digit, digit]),
        json!(["a"]),
        json!([own]),
        json!(["F".repeat(64)]),
    ] {
        let mut line = whole.clone();
        line["former_digests"] = digests;
        assert_eq!(problem(&line).field, "former_digests");
    }
    let long = format!("{text}{}", " ".repeat(LINE_BYTES_MAX));
    let problem = PortableLine::parse(long.as_bytes()).unwrap_err();
    assert_eq!(problem.to_string(), "line: must be at most 1 MiB long");
}

#[test]
fn removed_keys_are_read_strictly() {
    let mut removed = RemovedKey::new("1AbCdEfGhIjKlMnO".parse().unwrap(), 3);
    removed.revoked = Some((UnixMillis::MIN, "leaked".into()));
    removed.owner = Some("acme".into());
    removed.digests = vec![[0; 32], [1; 32]];
    let text = PortableLine::Removed(removed.clone()).to_text();
    let read = PortableLine::parse(text.as_bytes()).unwrap();
    assert_eq!(read, PortableLine::Removed(removed));
    let whole: Value = serde_json::from_str(&text).unwrap();
    for name in [
        "key_id",
        "version",
        "revoked_at",
        "revoke_reason",
        "owner",
        "digests",
    ] {
        let mut line = whole.clone();
        line["removed_key"].as_object_mut().unwrap().remove(name);
        assert_eq!(problem(&line).field, "removed_key", "{name}");
    }
    for (name, value) in [
        ("version", json!(0)),
        ("version", json!((1_u64 << 62) + 1)),
        ("revoke_reason", Value::Null),
        ("owner", json!("a\nb")),
        ("digests", json!(["1".repeat(64), "0".repeat(64)])),
    ] {
        let mut line = whole.clone();
        line["removed_key"][name] = value;
        assert_eq!(problem(&line).field, name);
    }
}
