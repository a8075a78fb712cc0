//! Records as JSON texts.

use keystile::KeyRecord;
use serde::Deserialize;
use serde_json::Value;

use crate::vectors::case::replay;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    json: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Accepted {
    accepted: bool,
}

#[test]
fn j11_records() {
    replay("records.json", |name, input: Input| {
        let record = serde_json::from_str::<KeyRecord>(&input.json).ok();
        if let Some(record) = &record {
            let read: Value = serde_json::from_str(&input.json).unwrap();
            let written = serde_json::to_value(record).unwrap();
            assert_eq!(written, read, "{name}: nothing is lost or invented");
        }
        Accepted {
            accepted: record.is_some(),
        }
    });
}

#[test]
fn d9_f8_a_public_record_is_the_record_without_its_digest() {
    replay("records.json", |name, input: Input| {
        let record = serde_json::from_str::<KeyRecord>(&input.json).ok();
        if let Some(record) = &record {
            let mut whole = serde_json::to_value(record).unwrap();
            let digest = whole.as_object_mut().unwrap().remove("digest").unwrap();
            let public = serde_json::to_value(record.public()).unwrap();
            assert_eq!(public, whole, "{name}");
            let printed = format!("{public} {record:?}");
            assert!(!printed.contains(digest.as_str().unwrap()), "{name}");
        }
        Accepted {
            accepted: record.is_some(),
        }
    });
}
