//! `keystile serve` on SQLite, with the keys that the shapes name.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gateway::{ALL, tools};
use crate::oracle::Identities;
use crate::serving::{Serving, program};
use crate::shapes::Words;
use crate::tokens::jwt;

pub(crate) struct Setup {
    pub(crate) keystile: Serving,
    pub(crate) words: Words,
    pub(crate) identities: Identities,
    pub(crate) tools: PathBuf,
    folder: TempDir,
}

impl Setup {
    /// `None` if a gateway is missing.
    pub(crate) fn start() -> Option<Self> {
        let tools = tools()?;
        let folder = tempfile::tempdir().unwrap();
        let options = ["--invalid-keys", "off", "--allow-missing-peppers"];
        let keystile = Serving::start(folder.path(), &options);
        let admin = keystile.first.clone().expect("the admin key");
        let mut setup = Self {
            keystile,
            words: Words::new(),
            identities: Identities::new(),
            tools,
            folder,
        };
        let named = json!({ "client_name": "Globex", "owner": "globex", "environment": "live",
            "permissions": ["read"] });
        let bare = json!({ "client_name": "Bare", "permissions": ["read"] });
        for (name, form, change) in [
            ("reader", &named, json!({})),
            ("bare", &bare, json!({})),
            (
                "metrics",
                &named,
                json!({ "allowed_endpoints": ["GET /api/metrics/*"] }),
            ),
            (
                "elsewhere",
                &named,
                json!({ "allowed_networks": ["198.51.100.0/24"] }),
            ),
        ] {
            setup.issue(&admin, name, form, change);
        }
        // Four for each gateway.
        for gateway in ALL {
            for name in ["refused", "allowed", "form 8", "form x"] {
                let one = json!({ "limit": 1, "window_ms": 3_600_000 });
                let name = format!("{name} at {}", gateway.name());
                setup.issue(&admin, &name, &named, json!({ "rate_limit": one }));
            }
        }
        // What some gateway or service could read as more than a text.
        let odd =
            json!({ "client_name": "Zo\u{eb}, Smith (UK)", "owner": "{env.HOME} $host 50% " });
        setup.issue(&admin, "odd", &named, odd);
        let identity = setup.identities.get_mut("odd").expect("it was issued");
        identity[1] = "Zo%C3%AB%2C Smith %28UK%29".to_owned();
        identity[2] = "{env.HOME} $host 50%25%20".to_owned();
        setup.issue(&admin, "old", &named, json!({}));
        let [id, ..] = &setup.identities["old"];
        let (rotate, overlap) = (
            format!("POST /v1/keys/{id}/rotate"),
            json!({ "overlap_seconds": 3_600 }),
        );
        let (status, rotated) = setup.keystile.call(&admin, &rotate, Some(&overlap));
        assert_eq!(status, 201, "{rotated}");
        let peppered = setup.issue_peppered();
        setup.words.insert("peppered".to_owned(), peppered);
        let (status, list) = setup.keystile.call(&admin, "GET /v1/keys", None);
        assert_eq!(status, 200, "{list}");
        let keys = list["keys"].as_array().expect("keys");
        let first = keys.iter().find(|key| key["permissions"] == json!(["*"]));
        setup.know("admin", &admin, first.expect("the admin's key"));
        let words = &mut setup.words;
        words.insert("jwt".to_owned(), jwt(200));
        words.insert("basic".to_owned(), base64(&format!("{}:", words["reader"])));
        Some(setup)
    }

    /// Another service on the same keys, with these options.
    pub(crate) fn another(&self, options: &[&str]) -> Serving {
        let common = ["--invalid-keys", "off", "--allow-missing-peppers"];
        Serving::start(self.folder.path(), &[&common, options].concat())
    }

    /// Issues a key, and remembers it under a name.
    pub(crate) fn issue(&mut self, admin: &str, name: &str, form: &Value, change: Value) {
        let mut form = form.clone();
        for (field, value) in change.as_object().expect("an object") {
            form[field] = value.clone();
        }
        let (status, issued) = self.keystile.call(admin, "POST /v1/keys", Some(&form));
        assert_eq!(status, 201, "{issued}");
        let key = issued["key"].as_str().expect("a key").to_owned();
        self.know(name, &key, &issued["record"]);
    }

    /// Issues a key whose record is then damaged in the store.
    pub(crate) fn damage(&mut self) {
        let admin = self.words["admin"].clone();
        let form = json!({ "client_name": "Acme", "permissions": ["read"] });
        self.issue(&admin, "damaged", &form, json!({}));
        let store = rusqlite::Connection::open(self.folder.path().join("keystile.db")).unwrap();
        let sql = "UPDATE api_keys SET permissions = 'none' WHERE key_id = ?1";
        let [id, ..] = &self.identities["damaged"];
        assert_eq!(store.execute(sql, [id]).unwrap(), 1);
    }

    /// A key whose pepper the service lacks, so that it answers 503.
    fn issue_peppered(&self) -> String {
        let asked = [
            "issue",
            "--client",
            "Acme",
            "--json",
            "--permission",
            "read",
        ];
        let mut command = program(self.folder.path(), &asked);
        command.env("KEYSTILE_PEPPER", format!("1:{}", "0a".repeat(32)));
        let issued = command.output().unwrap().stdout;
        let issued: Value = serde_json::from_slice(&issued).unwrap();
        issued["key"].as_str().expect("a key").to_owned()
    }

    fn know(&mut self, name: &str, key: &str, record: &Value) {
        let fields = ["key_id", "client_name", "owner", "environment"];
        let identity = fields.map(|field| record[field].as_str().unwrap_or_default().to_owned());
        self.words.insert(name.to_owned(), key.to_owned());
        self.identities.insert(name.to_owned(), identity);
    }
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| {
            bits << 8 | u32::from(three.get(at).copied().unwrap_or_default())
        });
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char;
            encoded.push(if at <= three.len() { digit } else { '=' });
        }
    }
    encoded
}
