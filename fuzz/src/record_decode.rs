//! A record that is read from JSON is valid, and is written as it was read.

use keystile::KeyRecord;
use serde_json::{Value, json};

pub fn run(data: &[u8]) {
    let Ok(record) = serde_json::from_slice::<KeyRecord>(data) else {
        return;
    };
    assert_eq!(record.check(), Ok(()));
    let written = serde_json::to_value(&record).unwrap();
    assert_eq!(
        serde_json::from_value(written.clone()).ok(),
        Some(record.clone())
    );
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str(&text).ok(), Some(record.clone()));

    // Nothing is lost: the JSON that was read equals the JSON that is written.
    let read: Value = serde_json::from_slice(data).unwrap();
    for (name, value) in read.as_object().unwrap() {
        assert!(written.get(name).is_some(), "{name} was dropped");
        let plain = value.is_number() || value.is_null();
        assert!(!plain || written[name] == *value, "{name} was changed");
    }

    // Reading is strict: a record with a field too many or too few is refused.
    let mut more = written.clone();
    more["no_such_field"] = Value::Null;
    assert!(serde_json::from_value::<KeyRecord>(more).is_err());
    for name in [
        "id",
        "digest",
        "permissions",
        "status",
        "lineage",
        "created_at",
        "version",
    ] {
        let mut less = written.clone();
        less.as_object_mut().unwrap().remove(name);
        assert!(serde_json::from_value::<KeyRecord>(less).is_err(), "{name}");
    }
    let mut wrong = written.clone();
    wrong["status"] = json!({ "state": "alive" });
    assert!(serde_json::from_value::<KeyRecord>(wrong).is_err());

    // For display: everything but the digest.
    let public = serde_json::to_value(record.public()).unwrap();
    let mut rest = written;
    let digest = rest.as_object_mut().unwrap().remove("digest").unwrap();
    assert_eq!(public, rest);
    let hex = digest.as_str().unwrap().rsplit(':').next().unwrap();
    assert!(!format!("{record:?} {:?}", record.public()).contains(hex));
}
