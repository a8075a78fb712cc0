//! What is wrong with a line, without a word of it.

use core::fmt;

use keystile::KeyRecord;
use serde_json::{Map, Value};

use super::line::{MEMBERS, RemovedForm, VERSION};
use super::object::Object;

/// Why a line is no key: the member, and what is expected of it. It repeats nothing of the line,
/// which may have digests, or a key in a wrong place.
///
/// ```
/// use keystile_store::PortableLine;
///
/// let problem = PortableLine::parse(br#"{"keystile_export": 9}"#).unwrap_err();
/// assert_eq!(problem.field, "keystile_export");
/// assert_eq!(problem.to_string(), "keystile_export: must be 1, the version of the format");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineProblem {
    /// The member, or `line`.
    pub field: &'static str,
    /// What is expected.
    pub expected: Box<str>,
}

impl LineProblem {
    pub(super) fn version() -> Self {
        Self::new("keystile_export", "must be 1, the version of the format")
    }

    pub(super) fn members() -> Self {
        let expected = "must have key, rate_state and former_digests, or removed_key";
        Self::new("line", expected)
    }

    pub(super) fn new(field: &'static str, expected: &str) -> Self {
        Self {
            field,
            expected: expected.into(),
        }
    }
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.expected)
    }
}

impl core::error::Error for LineProblem {}

/// The fields of a record in a line, whether they may be left out, and what is expected of them.
const FIELDS: [(&str, bool, &str); 26] = [
    ("id", false, "must be the id of a key"),
    (
        "digest",
        false,
        "must be a digest; export the keys with their digests",
    ),
    ("key_prefix", false, "must be a text of at most 40 bytes"),
    ("client_name", false, "must be a text of 1 to 255 bytes"),
    (
        "client_email",
        false,
        "must be a text of at most 255 bytes, or null",
    ),
    (
        "owner",
        false,
        "must be a text of at most 255 bytes, or null",
    ),
    (
        "environment",
        false,
        "must be 1 to 12 of a-z and 0-9, or null",
    ),
    ("permissions", false, "must be an array of permissions"),
    (
        "allowed_endpoints",
        false,
        "must be an array of endpoint rules, or null",
    ),
    (
        "allowed_networks",
        false,
        "must be an array of networks, or null",
    ),
    (
        "rate_limit",
        false,
        "must have limit, window_ms and burst, or be null",
    ),
    ("remaining_uses", false, "must be a whole number, or null"),
    (
        "scope_type",
        false,
        "must be the name of a template, or null",
    ),
    (
        "metadata",
        false,
        "must be a text of at most 16 KiB, or null",
    ),
    ("derived_from", true, "must have key_id and lineage"),
    ("created_at", false, INSTANT),
    ("last_used_at", false, INSTANT),
    ("expires_at", false, INSTANT),
    (
        "lifetime_ms",
        true,
        "must be a whole number of milliseconds",
    ),
    (
        "status",
        false,
        "must have state, and at and reason if it is revoked",
    ),
    ("suspended_with", true, "must be the id of another key"),
    ("lineage", false, "must be the id of a key"),
    (
        "replaced_by",
        false,
        "must be the id of another key, or null",
    ),
    ("overlap_until", false, INSTANT),
    (
        "ends_at_first_use",
        false,
        "must be the id of another key, or null",
    ),
    (
        "version",
        false,
        "must be a whole number from 1 to 4611686018427387904",
    ),
];

const INSTANT: &str = "must be an instant in milliseconds since 1970";

/// A record that has none of the fields that depend on each other, to try one field in.
const SAMPLE: &str = r#"{"id":"1zzzzzzzzzzzzzzz","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","key_prefix":"a","client_name":"a","client_email":null,"owner":null,"environment":null,"permissions":[],"allowed_endpoints":null,"allowed_networks":null,"rate_limit":null,"remaining_uses":null,"scope_type":null,"metadata":null,"created_at":1790000000000,"last_used_at":null,"expires_at":null,"status":{"state":"active"},"lineage":"1zzzzzzzzzzzzzzz","replaced_by":null,"overlap_until":null,"ends_at_first_use":null,"version":1}"#;

/// Why a line cannot be read. Serde's own messages would repeat parts of it.
pub(super) fn diagnose(line: &[u8]) -> LineProblem {
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return LineProblem::new("line", "must be a JSON object");
    };
    if members.get("keystile_export") != Some(&Value::from(VERSION)) {
        return LineProblem::version();
    }
    if members.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
        return LineProblem::new("line", "has a member that is not known");
    }
    if let Some(record) = members.get("key").filter(|key| !key.is_null())
        && let Some(problem) = of_record(record)
    {
        return problem;
    }
    let removed = members.get("removed_key").filter(|key| !key.is_null());
    if let Some(removed) = removed
        && serde_json::from_value::<Object<RemovedForm<'_>>>(removed.clone()).is_err()
    {
        let expected =
            "must have exactly key_id, version, revoked_at, revoke_reason, owner and digests";
        return LineProblem::new("removed_key", expected);
    }
    let is_text = |name| {
        members
            .get(name)
            .is_none_or(|rate: &Value| rate.is_string())
    };
    if !is_text("rate_state") {
        return LineProblem::new("rate_state", "must be a whole number of 64 bits, as text");
    }
    let former = members.get("former_digests").and_then(Value::as_array);
    if members.contains_key("former_digests")
        && !former.is_some_and(|all| all.iter().all(Value::is_string))
    {
        return LineProblem::new("former_digests", "must be an array of digests");
    }
    LineProblem::new("line", "must not have a member twice")
}

fn of_record(record: &Value) -> Option<LineProblem> {
    let Value::Object(record) = record else {
        return Some(LineProblem::new("key", "must be an object"));
    };
    let known = |name: &str| FIELDS.iter().any(|(field, ..)| *field == name);
    if !record.keys().all(|name| known(name)) {
        return Some(LineProblem::new("key", "has a field that is not known"));
    }
    for (field, optional, expected) in FIELDS {
        let found = match record.get(field) {
            // With the other fields of the sample, null is right wherever it may be.
            Some(value) => fits(field, value),
            None => optional,
        };
        if !found {
            return Some(LineProblem::new(field, expected));
        }
    }
    // Each field is right: what is wrong is said by the record's own check, in constant texts.
    let whole = Value::Object(record.clone());
    let error = serde_json::from_value::<KeyRecord>(whole).err()?;
    Some(LineProblem::new("key", &error.to_string()))
}

/// Whether a record can have this value of a field.
fn fits(field: &str, value: &Value) -> bool {
    let Ok(mut sample) = serde_json::from_str::<Map<String, Value>>(SAMPLE) else {
        return false;
    };
    sample.insert(field.to_owned(), value.clone());
    // These two are set together.
    if field == "replaced_by" && !value.is_null() {
        sample.insert("overlap_until".to_owned(), 1_790_000_000_000_u64.into());
    }
    if field == "overlap_until" && !value.is_null() {
        sample.insert("replaced_by".to_owned(), "1yyyyyyyyyyyyyyy".into());
    }
    serde_json::from_value::<KeyRecord>(Value::Object(sample)).is_ok()
}
