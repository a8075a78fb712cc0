//! Lines, each alone: what is read of them, or why they are refused.

use keystile_store::PortableLine;
use serde_json::{Value, json};

use crate::made::{digest, id, line, plain, removed, removed_line};

const WRONG: &str = "KS_LIVE_CANARY!";

/// What Rust reads of each line.
pub(crate) fn cases() -> Vec<Value> {
    let mut cases = Cases::default();
    cases.accepted();
    cases.fields();
    cases.members();
    cases.counts();
    cases.removed();
    cases.no_objects();
    cases.lists();
    let cases = cases.0.into_iter();
    let read = cases.map(|(name, text)| match PortableLine::parse(text.as_bytes()) {
        Ok(line) => json!({ "name": name, "line": text,
            "expected": { "key_id": line.key_id().as_str(), "text": line.to_text(), "field": null, "problem": null } }),
        Err(problem) => json!({ "name": name, "line": text,
            "expected": { "key_id": null, "text": null, "field": problem.field, "problem": problem.expected } }),
    });
    read.collect()
}

#[derive(Default)]
struct Cases(Vec<(String, String)>);

/// The line of a key, and that of a removed one.
fn whole() -> Value {
    let mut record = plain(1);
    record.metadata = Some("{\"a\": \"\u{e9} \u{2028}<&>\"}".into());
    serde_json::from_str(&line(record)).unwrap()
}

fn whole_removed() -> Value {
    let mut removed = removed(1, &[2, 3]);
    removed.owner = Some("acme \"\\ \u{7f}".replace('\u{7f}', "\u{2029}").into());
    serde_json::from_str(&removed_line(&removed)).unwrap()
}

impl Cases {
    fn add(&mut self, name: impl Into<String>, line: impl ToString) {
        self.0.push((name.into(), line.to_string()));
    }

    fn accepted(&mut self) {
        self.add("a-key", line(plain(1)));
        self.add("a-key-in-another-order", whole());
        self.add("a-removed-key", removed_line(&removed(1, &[2])));
        self.add("a-removed-key-in-another-order", whole_removed());
        self.add(
            "white-space",
            format!(" \t{} ", line(plain(1)).replace(':', " : ")),
        );
        let mut nulls = whole();
        nulls["removed_key"] = Value::Null;
        self.add("members-that-are-null", nulls);
        self.add("an-escape", line(plain(1)).replace("Acme", "\\u0041cme"));
        self.add(
            "a-pair-of-escapes",
            line(plain(1)).replace("Acme", "\\ud83d\\ude00"),
        );
    }

    fn fields(&mut self) {
        let whole = whole();
        for name in whole["key"].as_object().unwrap().keys() {
            let mut line = whole.clone();
            line["key"].as_object_mut().unwrap().remove(name);
            self.add(format!("without-{name}"), &line);
            for (how, value) in [
                ("a-text", json!(WRONG)),
                ("an-object", json!({ WRONG: 1 })),
                ("null", Value::Null),
                ("a-fraction", json!(1.5)),
            ] {
                line["key"][name] = value;
                self.add(format!("{name}-is-{how}"), &line);
            }
        }
        for (name, value) in [
            ("lifetime_ms", json!(WRONG)),
            ("suspended_with", json!(WRONG)),
            ("derived_from", json!({ "key_id": WRONG })),
            (
                "rate_limit",
                json!({ "limit": 1, "window_ms": 1, "burst": 0 }),
            ),
            ("status", json!({ "state": "revoked" })),
            (
                "status",
                json!({ "state": "active", "at": 1_790_000_000_000_u64 }),
            ),
            ("environment", json!("Live")),
            ("permissions", json!(["inv*"])),
            ("created_at", json!(5)),
            ("client_name", json!("")),
            ("client_name", json!("a\nb")),
            ("key_prefix", json!("p".repeat(41))),
            ("owner", json!("o".repeat(256))),
            ("metadata", json!("m".repeat(16 * 1_024 + 1))),
            (WRONG, json!(1)),
        ] {
            let mut line = whole.clone();
            line["key"][name] = value;
            let count = self.0.len();
            self.add(format!("wrong-{count}"), line);
        }
        for (how, names, value) in [
            (
                "a-successor-without-an-overlap",
                "replaced_by",
                json!(id(2).as_str()),
            ),
            (
                "an-overlap-without-a-successor",
                "overlap_until",
                json!(1_790_000_000_000_u64),
            ),
            ("its-own-successor", "replaced_by", json!(id(1).as_str())),
            ("ends-itself", "ends_at_first_use", json!(id(1).as_str())),
            (
                "suspended-with-itself",
                "suspended_with",
                json!(id(1).as_str()),
            ),
            (
                "its-own-source",
                "derived_from",
                json!({ "key_id": id(1).as_str(), "lineage": id(2).as_str() }),
            ),
        ] {
            let mut line = whole.clone();
            line["key"][names] = value;
            self.add(how, line);
        }
    }

    fn members(&mut self) {
        let whole = whole();
        for name in ["rate_state", "former_digests", "keystile_export", "key"] {
            let mut line = whole.clone();
            line.as_object_mut().unwrap().remove(name);
            self.add(format!("no-{name}"), &line);
            for (how, value) in [
                ("a-text", json!(WRONG)),
                ("null", Value::Null),
                ("a-number", json!(7)),
            ] {
                line[name] = value;
                self.add(format!("member-{name}-is-{how}"), &line);
            }
        }
        let mut line = whole.clone();
        line[WRONG] = json!(1);
        self.add("an-unknown-member", line);
        let mut line = whole.clone();
        line["removed_key"] = whole_removed()["removed_key"].clone();
        self.add("a-key-and-a-removed-key", line);
        let text = whole.to_string();
        for once in [
            "\"owner\":null",
            "\"rate_state\":\"0\"",
            "\"keystile_export\":1",
            "\"key_prefix\":\"acme_1000\"",
        ] {
            assert!(text.contains(once));
            let count = self.0.len();
            self.add(
                format!("twice-{count}"),
                text.replace(once, &format!("{once},{once}")),
            );
        }
        for version in ["2", "1.0", "1e0", "\"1\"", "-1", "4294967297"] {
            let count = self.0.len();
            self.add(
                format!("version-{count}"),
                text.replace(
                    "\"keystile_export\":1",
                    &format!("\"keystile_export\":{version}"),
                ),
            );
        }
    }

    fn counts(&mut self) {
        let whole = whole();
        for rate in [
            "-1",
            "+1",
            "01",
            "",
            " 1",
            "1.0",
            "18446744073709551616",
            "18446744073709551615",
        ] {
            let mut line = whole.clone();
            line["rate_state"] = json!(rate);
            let count = self.0.len();
            self.add(format!("rate-{count}"), line);
        }
        let (digit, own) = ("0".repeat(64), digest(1).to_string());
        let own = own.trim_start_matches("sha256:");
        for digests in [
            json!([digit, digit]),
            json!(["1".repeat(64), digit]),
            json!(["a"]),
            json!([own]),
            json!(["F".repeat(64)]),
            json!([1]),
            json!([digit, "1".repeat(64)]),
        ] {
            let mut line = whole.clone();
            line["former_digests"] = digests;
            let count = self.0.len();
            self.add(format!("former-{count}"), line);
        }
        for (name, value) in [
            ("version", json!(0)),
            ("version", json!(1_u64 << 62)),
            ("version", json!((1_u64 << 62) + 1)),
            ("remaining_uses", json!(i64::MAX)),
            ("remaining_uses", json!(1_u64 << 63)),
            ("lifetime_ms", json!(1_u64 << 63)),
            ("lifetime_ms", json!(u64::MAX)),
            ("remaining_uses", json!(-1)),
        ] {
            let mut line = whole.clone();
            line["key"][name] = value;
            if name == "lifetime_ms" {
                line["key"]["expires_at"] = json!(1_795_000_000_000_u64);
            }
            let count = self.0.len();
            self.add(format!("count-{count}"), line);
        }
    }

    fn removed(&mut self) {
        let whole = whole_removed();
        for name in whole["removed_key"].as_object().unwrap().keys() {
            let mut line = whole.clone();
            line["removed_key"].as_object_mut().unwrap().remove(name);
            self.add(format!("removed-without-{name}"), &line);
            for (how, value) in [
                ("a-text", json!(WRONG)),
                ("an-object", json!({ WRONG: 1 })),
                ("null", Value::Null),
                ("a-fraction", json!(1.5)),
            ] {
                line["removed_key"][name] = value;
                self.add(format!("removed-{name}-is-{how}"), &line);
            }
        }
        for (name, value) in [
            ("version", json!(0)),
            ("version", json!((1_u64 << 62) + 1)),
            ("owner", json!("a\nb")),
            ("owner", json!("o".repeat(256))),
            ("owner", json!("o".repeat(255))),
            ("revoke_reason", json!("a\u{85}b")),
            ("revoke_reason", json!("")),
            ("digests", json!(["1".repeat(64), "0".repeat(64)])),
            ("digests", json!([])),
            ("revoked_at", json!(5)),
            (WRONG, json!(1)),
        ] {
            let mut line = whole.clone();
            line["removed_key"][name] = value;
            let count = self.0.len();
            self.add(format!("removed-{count}"), line);
        }
        let text = whole.to_string();
        self.add(
            "removed-twice",
            text.replace("\"version\":4", "\"version\":4,\"version\":4"),
        );
        let mut line = whole.clone();
        line["rate_state"] = json!("0");
        self.add("removed-with-a-rate", &line);
        line["rate_state"] = Value::Null;
        line["former_digests"] = json!([]);
        self.add("removed-with-former-digests", &line);
        self.add("half-a-pair", text.replace("leaked", "\\ud83d"));
    }

    fn no_objects(&mut self) {
        for text in [
            "",
            "hello",
            "[]",
            "{}",
            "null",
            "1",
            "\"a\"",
            "{",
            "{\"keystile_export\":1}",
            "{\"keystile_export\":1,}",
            "\u{feff}{}",
        ] {
            let count = self.0.len();
            self.add(format!("no-line-{count}"), text);
        }
        let text = line(plain(1));
        self.add("two-lines-in-one", format!("{text}{text}"));
        self.add("a-part", &text[..text.len() - 1]);
        self.add("half-a-pair-in-a-key", text.replace("Acme", "\\udc00"));
    }

    /// A list in the place of an object, which has the values of its members in their order.
    fn lists(&mut self) {
        let values = |object: &Value, names: &[&str]| -> Value {
            names.iter().map(|name| object[*name].clone()).collect()
        };
        let (whole, whole_removed) = (whole(), whole_removed());
        let members = [
            "keystile_export",
            "key",
            "rate_state",
            "former_digests",
            "removed_key",
        ];
        self.add("a-line-is-a-list", values(&whole, &members));
        self.add("a-removed-line-is-a-list", values(&whole_removed, &members));
        let mut line = whole.clone();
        line["key"] = values(&whole["key"], &RECORD);
        self.add("a-key-is-a-list", &line);
        for (name, value) in [
            ("rate_limit", json!([5, 1_000, 5])),
            ("status", json!(["active"])),
            (
                "status",
                json!(["revoked", 1_790_000_000_000_u64, "leaked"]),
            ),
            ("derived_from", json!([id(2).as_str(), id(2).as_str()])),
        ] {
            let mut line = whole.clone();
            line["key"][name] = value;
            let count = self.0.len();
            self.add(format!("{name}-is-a-list-{count}"), line);
        }
        let mut line = whole_removed.clone();
        let names = [
            "key_id",
            "version",
            "revoked_at",
            "revoke_reason",
            "owner",
            "digests",
        ];
        line["removed_key"] = values(&whole_removed["removed_key"], &names);
        self.add("a-removed-key-is-a-list", line);
    }
}

/// The fields of a record in their order.
const RECORD: [&str; 26] = [
    "id",
    "digest",
    "key_prefix",
    "client_name",
    "client_email",
    "owner",
    "environment",
    "permissions",
    "allowed_endpoints",
    "allowed_networks",
    "rate_limit",
    "remaining_uses",
    "scope_type",
    "metadata",
    "derived_from",
    "created_at",
    "last_used_at",
    "expires_at",
    "lifetime_ms",
    "status",
    "suspended_with",
    "lineage",
    "replaced_by",
    "overlap_until",
    "ends_at_first_use",
    "version",
];
