//! Reading is strict: JSON that is incomplete, has duplicates or another shape is not a
//! record. Rows D9, F5, J1, J11 and J12 of the attacks.

use crate::common::service::{Service, at, client};
use keystile::{
    EndpointRules, KeyId, KeyRecord, Millis, PermissionSet, RateLimit, RateState, RotationPolicy,
    ScopeTemplate, UnixMillis, revoke, suspend,
};
use proptest::prelude::*;
use serde_json::{Map, Value, from_str, from_value, json, to_value};

/// A record with something in every field.
fn full(service: &mut Service) -> KeyRecord {
    let request = client()
        .endpoints(["GET /api/data/*", "/status"])
        .and_then(|request| request.uses(7))
        .and_then(|request| request.owner("tenant-1"))
        .and_then(|request| request.email("keys@example.com"))
        .and_then(|request| request.metadata(r#"{"plan":"gold"}"#))
        .unwrap()
        .rate_limit(RateLimit::with_burst(100, Millis::from_hours(1), 9).unwrap());
    let request = request.networks(["192.0.2.0/24", "2001:db8::1"]).unwrap();
    let mut record = service.issue(&request).record;
    let others = [(); 2].map(|()| service.issue(&client()).record.id);
    record.scope_type = Some(keystile::TemplateName::new("integration").unwrap());
    record.last_used_at = Some(at(5));
    record.replaced_by = Some(others[0]);
    record.overlap_until = Some(at(9));
    record.ends_at_first_use = Some(others[1]);
    record
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(fields) = value else {
        panic!("no object")
    };
    fields
}

fn reads(fields: &Map<String, Value>) -> bool {
    from_value::<KeyRecord>(Value::Object(fields.clone())).is_ok()
}

#[test]
fn j11_cve_2026_39832_no_restriction_is_lost_between_writing_and_reading() {
    let mut service = Service::structured();
    let record = full(&mut service);
    let mut expired = record.clone();
    (expired.expires_at, expired.lifetime) = (None, None);
    expired.allowed_endpoints = Some(EndpointRules::default());
    let mut derived = record.clone();
    derived.derived_from = Some(keystile::DerivedFrom::new(
        record.replaced_by.unwrap(),
        record.lineage,
    ));
    derived.lifetime = Some(Millis::new(7));
    derived.suspended_with = record.replaced_by;
    let records = [
        derived,
        record.clone(),
        expired,
        service.issue(&client()).record,
        suspend(&record, at(1)).unwrap().record,
        revoke(&record, "leaked\u{2014}\"quoted\"", at(1))
            .unwrap()
            .record,
    ];
    for record in records {
        let written = serde_json::to_string(&record).unwrap();
        assert!(
            from_str::<KeyRecord>(&written).unwrap() == record,
            "{written}"
        );
    }
    // A missing field does not mean null: each field must be present, and only these may
    // be null.
    let fields = object(to_value(&record).unwrap());
    assert_eq!(fields.len(), 23);
    for name in fields.keys() {
        let mut less = fields.clone();
        less.remove(name);
        assert!(!reads(&less), "read without {name}");
        let mut renamed = less.clone();
        renamed.insert(format!("{name}s"), fields[name].clone());
        assert!(!reads(&renamed), "read without {name}");
        let mut more = fields.clone();
        more.insert(format!("{name}_too"), Value::Null);
        assert!(!reads(&more), "read with an extra field next to {name}");
    }
    let mut more = fields.clone();
    more.insert("allowed_hours".into(), json!([9, 17]));
    assert!(
        reads(&fields) && !reads(&more),
        "a restriction that is not understood"
    );
}

#[test]
fn j12_no_trick_of_json_widens_a_record() {
    let mut service = Service::structured();
    let record = full(&mut service);
    let fields = object(to_value(&record).unwrap());
    let text = serde_json::to_string(&fields).unwrap();
    // Each field twice, with the same value or with another.
    for (name, value) in &fields {
        for second in [value.clone(), Value::Null] {
            let doubled = format!("{},\"{name}\":{second}}}", text.strip_suffix('}').unwrap());
            assert!(from_str::<KeyRecord>(&doubled).is_err(), "{name} twice");
            let escaped = format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..]);
            let hidden = format!(
                "{},\"{escaped}\":{second}}}",
                text.strip_suffix('}').unwrap()
            );
            assert!(
                from_str::<KeyRecord>(&hidden).is_err(),
                "{escaped} and {name}"
            );
        }
    }
    let long: Vec<String> = (0..65).map(|at| format!("p{at}")).collect();
    let wrong = [
        ("permissions", json!("admin")),
        ("permissions", Value::Null),
        ("permissions", json!(["read", ["admin"]])),
        ("permissions", json!(["read", null])),
        ("permissions", json!({"read": true})),
        ("permissions", json!(["read write"])),
        ("permissions", json!(["\u{0}"])),
        ("permissions", json!(["p".repeat(129)])),
        ("permissions", json!(long)),
        ("permissions", json!(vec!["a"; 100_000])),
        ("allowed_endpoints", json!("/*")),
        ("allowed_endpoints", json!(["*"])),
        ("allowed_endpoints", json!([{"path": "/*"}])),
        ("allowed_networks", json!("0.0.0.0/0")),
        ("allowed_networks", json!(["10.0.0.1/8"])),
        ("rate_limit", json!(100)),
        ("rate_limit", json!({"limit": 100, "window_ms": 1})),
        (
            "rate_limit",
            json!({"limit": -1, "window_ms": 1, "burst": 1}),
        ),
        (
            "rate_limit",
            json!({"limit": 1, "window_ms": 0, "burst": 1}),
        ),
        (
            "rate_limit",
            json!({"limit": 1, "window_ms": 1, "burst": 1, "off": true}),
        ),
        ("remaining_uses", json!(-1)),
        ("remaining_uses", json!("7")),
        ("remaining_uses", json!(7.5)),
        ("expires_at", json!(0)),
        ("expires_at", json!(1_790_000_000)),
        ("expires_at", json!("never")),
        ("expires_at", json!(1e300)),
        ("expires_at", json!(-1)),
        ("status", json!("active")),
        ("status", json!({"state": "active", "reason": "x"})),
        ("status", json!({"state": "revoked"})),
        ("status", json!({"state": "Active"})),
        ("status", json!({})),
        ("status", Value::Null),
        ("digest", Value::Null),
        ("digest", json!("")),
        ("digest", json!("plain text")),
        ("id", json!("1")),
        ("lineage", Value::Null),
        ("overlap_until", Value::Null),
        ("replaced_by", Value::Null),
        ("replaced_by", json!(record.id.as_str())),
        ("client_name", json!("")),
        ("client_name", json!("two\nlines")),
        ("version", json!(-1)),
        ("version", json!(true)),
    ];
    for (name, value) in wrong {
        let mut changed = fields.clone();
        let printed = value.to_string();
        changed.insert(name.into(), value);
        assert!(
            !reads(&changed),
            "{name}: {}",
            &printed[..printed.len().min(80)]
        );
    }
    for status in [
        r#"{"state":"active","state":"revoked"}"#,
        r#"{"state":"revoked","at":1790000000000,"at":1790000000001,"reason":""}"#,
    ] {
        let mut changed = fields.clone();
        changed.remove("status");
        let text = serde_json::to_string(&changed).unwrap();
        let text = format!("{},\"status\":{status}}}", text.strip_suffix('}').unwrap());
        assert!(from_str::<KeyRecord>(&text).is_err(), "{status}");
    }
    for text in [
        "null",
        "[]",
        "{}",
        "\"\"",
        "1",
        "{\"id\":",
        &text[..text.len() - 1],
    ] {
        assert!(from_str::<KeyRecord>(text).is_err());
    }
}

#[test]
fn d9_f5_cve_2026_58511_what_is_shown_of_a_record_has_no_digest() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let digest = issued.record.digest.to_string();
    let digits = &digest[digest.len() - 64..];
    let shown = serde_json::to_string(&issued.record.public()).unwrap();
    assert!(!shown.contains("digest") && !shown.contains(digits) && !shown.contains("sha256"));
    assert!(shown.contains(issued.record.id.as_str()) && shown.contains("Acme Ltd"));
    assert!(
        from_str::<KeyRecord>(&shown).is_err(),
        "what is shown is not what is kept"
    );
    // The form for stores has the digest, and neither form contains any part of the key.
    let kept = serde_json::to_string(&issued.record).unwrap();
    assert!(kept.contains(digits));
    let secret = &issued.key.expose()[issued.key.expose().len() - 49..];
    for part in secret.as_bytes().windows(8) {
        let part = core::str::from_utf8(part).unwrap();
        assert!(!kept.contains(part) && !shown.contains(part));
        assert!(!format!("{:?}", issued.record).contains(part));
    }
}

#[test]
fn j1_cve_2025_61928_a_request_to_issue_is_not_read_from_a_client() {
    // What the server decides and what a client sends are different types: the former
    // cannot be read from JSON. The probe is the compiler's choice of a method.
    trait Otherwise {
        fn is_read(&self) -> bool {
            false
        }
    }
    impl<T> Otherwise for T {}
    struct Probe<T>(core::marker::PhantomData<T>);
    impl<T: for<'de> serde::Deserialize<'de>> Probe<T> {
        fn is_read(&self) -> bool {
            true
        }
    }
    assert!(
        Probe::<KeyRecord>(core::marker::PhantomData).is_read(),
        "the probe sees serde"
    );
    assert!(!Probe::<keystile::IssueRequest>(core::marker::PhantomData).is_read());
    assert!(!Probe::<keystile::Issued>(core::marker::PhantomData).is_read());
    assert!(!Probe::<keystile::ApiKey>(core::marker::PhantomData).is_read());
    assert!(!Probe::<keystile::Allowed>(core::marker::PhantomData).is_read());
}

#[test]
fn policies_and_templates_are_read_strictly_too() {
    let policy = RotationPolicy::default()
        .with_max_age(Millis::from_days(40))
        .and_then(|policy| policy.with_overlap(Millis::from_days(10)))
        .unwrap()
        .with_end_on_first_use(true)
        .with_notice_leads([Millis::from_days(3)])
        .with_retention(Millis::ZERO);
    let written = serde_json::to_string(&policy).unwrap();
    assert_eq!(from_str::<RotationPolicy>(&written).unwrap(), policy);
    let fields = object(to_value(&policy).unwrap());
    for (name, value) in [
        ("max_age_ms", json!(0)),
        ("max_age_ms", json!(91u64 * 86_400_000)),
        ("overlap_ms", json!(91u64 * 86_400_000)),
        ("end_on_first_use", json!("yes")),
        ("notice_leads_ms", json!("7d")),
        ("surprise", json!(1)),
    ] {
        let mut changed = fields.clone();
        changed.insert(name.into(), value);
        assert!(
            from_value::<RotationPolicy>(Value::Object(changed)).is_err(),
            "{name}"
        );
    }
    for template in ScopeTemplate::presets() {
        let written = serde_json::to_string(&template).unwrap();
        assert_eq!(from_str::<ScopeTemplate>(&written).unwrap(), template);
        let fields = object(to_value(&template).unwrap());
        for name in fields.keys() {
            let mut less = fields.clone();
            less.remove(name);
            assert!(
                from_value::<ScopeTemplate>(Value::Object(less)).is_err(),
                "without {name}"
            );
        }
    }
}

proptest! {
    #[test]
    fn every_valid_record_is_read_back_as_it_was_written(
        permissions in proptest::collection::vec("([a-zA-Z0-9_.-]{1,5}|[*])(:([a-z]{1,3}|[*])){0,3}", 0..6),
        rules in proptest::collection::vec("((GET|PUT,X-Y) )?(/([a-z.~]{3}|[*])){1,4}/?", 0..6),
        limit in proptest::option::of((0u32..1_000_000, 1u64..10_000_000, 1u32..1_000)),
        instants in any::<[u64; 3]>(),
        name in "[^\\p{Cc}]{1,60}",
        uses in any::<Option<u64>>(),
        version in any::<u64>(),
    ) {
        let mut service = Service::opaque();
        let mut record = service.issue(&client()).record;
        let instants = instants.map(|instant| UnixMillis::new(instant >> 17).ok());
        record.permissions = PermissionSet::new(&permissions).unwrap();
        record.allowed_endpoints = EndpointRules::new(&rules).ok();
        record.rate_limit = limit.map(|(limit, window, burst)| {
            RateLimit::with_burst(limit, Millis::new(window), burst).unwrap()
        });
        [record.expires_at, record.last_used_at, _] = instants;
        record.lifetime = record.lifetime_given();
        record.client_name = name.as_str().into();
        record.remaining_uses = uses;
        record.version = version;
        prop_assume!(record.check().is_ok());
        let written = serde_json::to_string(&record).unwrap();
        let read: KeyRecord = from_str(&written).unwrap();
        prop_assert!(read == record, "{}", written);
        // A limit that was read decides like the one that was written.
        if let (Some(own), Some(other)) = (record.rate_limit, read.rate_limit) {
            let state = RateState::default();
            prop_assert_eq!(own.admit(state, at(0)), other.admit(state, at(0)));
        }
        let id: KeyId = from_value(to_value(record.id).unwrap()).unwrap();
        prop_assert_eq!(id, record.id);
    }
}
