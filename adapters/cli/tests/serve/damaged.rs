//! One damaged row costs one row: the service denies its key, lists the others, and ends it by
//! its id.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::serving::Serving;

/// A service with three keys of one owner, of which the second is damaged.
struct Damaged {
    folder: tempfile::TempDir,
    serving: Serving,
    admin: String,
    keys: Vec<(String, String)>,
}

impl Damaged {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::start(folder.path(), arguments);
        let admin = serving.first.clone().unwrap();
        let mut damaged = Self {
            folder,
            serving,
            admin,
            keys: Vec::new(),
        };
        for owner in ["tenant-7", "tenant-7", "tenant-8"] {
            damaged.issue(&json!({ "client_name": "Acme", "owner": owner }));
        }
        damaged.sql(
            "UPDATE api_keys SET permissions = 'not json' WHERE key_id = ?1",
            1,
        );
        damaged
    }

    fn issue(&mut self, asked: &Value) {
        let (status, issued) = self.serving.call(&self.admin, "POST /v1/keys", Some(asked));
        assert_eq!(status, 201, "{issued}");
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        self.keys.push((text("key"), text("key_id")));
    }

    fn sql(&self, sql: &str, key: usize) {
        let raw = rusqlite::Connection::open(self.folder.path().join("keystile.db")).unwrap();
        raw.busy_timeout(core::time::Duration::from_secs(5))
            .unwrap();
        assert_eq!(raw.execute(sql, [&self.keys[key].1]).unwrap(), 1);
    }

    fn call(&self, key: usize, request: &str) -> (u16, Value) {
        self.serving.call(&self.keys[key].0, request, None)
    }

    fn manage(&self, request: &str, body: Option<&Value>) -> (u16, Value) {
        self.serving.call(&self.admin, request, body)
    }
}

/// The whole response to a request, with its headers.
fn raw(serving: &Serving, text: &str) -> String {
    let mut stream = TcpStream::connect(serving.address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_damaged_key_is_denied_and_named_in_the_log_once() {
    let damaged = Damaged::new(&["--invalid-keys", "2/1h"]);
    let serving = &damaged.serving;
    for _ in 0..5 {
        let (status, answer) = damaged.call(1, "POST /v1/verify");
        assert_eq!((status, &answer["code"]), (500, &json!("record_damaged")));
        assert!(answer["message"].as_str().unwrap().contains("damaged"));
        let (status, answer) = damaged.call(1, "GET /v1/authorize/envoy/x");
        assert_eq!((status, &answer["code"]), (500, &json!("record_damaged")));
    }
    for sound in [0, 2] {
        let (status, answer) = damaged.call(sound, "POST /v1/verify");
        assert_eq!((status, &answer["decision"]), (200, &json!("allow")));
    }
    // It is no guess: the limit of two has room for one.
    let (_, answer) = serving.call("ks_invented", "POST /v1/verify", None);
    assert_eq!(answer["code"], "invalid_key");

    let key = &damaged.keys[1].0;
    let nginx = format!(
        "GET /v1/authorize/nginx HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\
         X-Original-Method: GET\r\nX-Original-URI: /x\r\nConnection: close\r\n\r\n"
    );
    let answer = raw(serving, &nginx);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("\r\nx-auth-status: 500\r\n"), "{answer}");
    assert!(
        !answer.contains("retry-after"),
        "to wait is of no use: {answer}"
    );
    assert!(answer.contains(r#""code":"record_damaged""#), "{answer}");

    let errors = serving.errors();
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.contains("ERROR") || line.contains("damaged"))
        .collect();
    assert_eq!(lines.len(), 1, "{errors}");
    let named = format!(
        "row 3, key {}, column permissions: expected",
        damaged.keys[1].1
    );
    assert!(lines[0].contains(&named), "{errors}");
    assert!(!errors.contains("unavailable"), "{errors}");
}

#[test]
fn lists_go_on_and_a_damaged_key_is_ended_by_its_id() {
    let damaged = Damaged::new(&[]);
    let id = &damaged.keys[1].1;
    let expected = json!({
        "row": 3, "key_id": id, "column": "permissions",
        "expected": "a JSON array of permissions",
    });
    let (status, page) = damaged.manage("GET /v1/keys", None);
    assert_eq!((status, page["keys"].as_array().unwrap().len()), (200, 3));
    assert_eq!(page["damaged"], json!([expected]));
    // Page by page, of one row each.
    let (mut sound, mut rows, mut path) = (0, 0, "GET /v1/keys?limit=1".to_owned());
    loop {
        let (_, page) = damaged.manage(&path, None);
        sound += page["keys"].as_array().unwrap().len();
        rows += page["damaged"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => path = format!("GET /v1/keys?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!((sound, rows), (3, 1));
    let (status, page) = damaged.manage("GET /v1/keys/plan?within_seconds=31536000", None);
    assert_eq!((status, &page["damaged"]), (200, &json!([expected])));
    assert_eq!(page["due"].as_array().unwrap().len(), 2);
    assert_eq!(damaged.manage("GET /readyz", None).0, 200);

    let (status, problem) = damaged.manage(&format!("GET /v1/keys/{id}"), None);
    assert_eq!((status, &problem["code"]), (500, &json!("record_damaged")));
    let message = problem["message"].as_str().unwrap();
    assert!(
        message.contains("row 3, column permissions: expected"),
        "{message}"
    );
    let events = format!("GET /v1/keys/{id}/events");
    assert_eq!(damaged.manage(&events, None).0, 200);

    let damage = |status: &str, version: u64| json!({ "key_id": id, "status": status, "version": version, "damaged": expected });
    let suspend = format!("POST /v1/keys/{id}/suspend");
    let (status, answer) = damaged.manage(&suspend, None);
    assert_eq!((status, &answer), (200, &damage("suspended", 3)));
    for verb in ["resume", "rotate"] {
        let (status, problem) = damaged.manage(&format!("POST /v1/keys/{id}/{verb}"), None);
        assert_eq!(
            (status, &problem["code"]),
            (500, &json!("record_damaged")),
            "{verb}"
        );
    }
    let revoke = format!("POST /v1/keys/{id}/revoke");
    let (status, answer) = damaged.manage(&revoke, Some(&json!({ "reason": "leaked" })));
    assert_eq!((status, &answer), (200, &damage("revoked", 4)));
    damaged.sql(
        "UPDATE api_keys SET permissions = '[]' WHERE key_id = ?1",
        1,
    );
    let (_, answer) = damaged.call(1, "POST /v1/verify");
    assert_eq!(
        answer["code"], "key_revoked",
        "it stands when the row is mended"
    );
}

/// An admin of one owner learns nothing of the rows of others, nor how many there are.
#[test]
fn an_owner_sees_and_ends_only_its_own_damaged_keys() {
    let mut damaged = Damaged::new(&[]);
    let manages = ["keystile:keys:read", "keystile:keys:write"];
    for owner in ["tenant-7", "tenant-8"] {
        let asked = json!({ "client_name": "Admin", "owner": owner, "permissions": manages });
        damaged.issue(&asked);
    }
    let id = damaged.keys[1].1.clone();
    let (own, other) = (3, 4);
    let (_, page) = damaged.call(own, "GET /v1/keys");
    assert_eq!(page["damaged"][0]["key_id"], id.as_str());
    assert_eq!(page["damaged"][0]["row"], Value::Null);
    let (_, page) = damaged.call(other, "GET /v1/keys");
    assert_eq!(page["damaged"], json!([]));

    let show = format!("GET /v1/keys/{id}");
    let explain = format!("POST /v1/keys/{id}/explain");
    for asked in [&show, &explain] {
        let (status, problem) = damaged.call(own, asked);
        assert_eq!((status, &problem["code"]), (500, &json!("record_damaged")));
        assert!(
            !problem["message"].as_str().unwrap().contains("row"),
            "{problem}"
        );
    }
    let (status, problem) = damaged.manage(&explain, Some(&json!({})));
    assert_eq!(status, 500);
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("row 3, column permissions"), "{message}");
    let (status, problem) = damaged.call(1, "GET /v1/self");
    assert_eq!((status, &problem["code"]), (500, &json!("record_damaged")));
    let revoke = format!("POST /v1/keys/{id}/revoke");
    for refused in [
        &show,
        &explain,
        &revoke,
        &format!("GET /v1/keys/{id}/events"),
    ] {
        assert_eq!(damaged.call(other, refused).0, 404, "{refused}");
    }
    let (status, answer) = damaged.call(own, &revoke);
    assert_eq!((status, &answer["status"]), (200, &json!("revoked")));
}

/// A key that cannot be read may be an admin key: no first one is issued beside it, and the
/// service says so.
#[test]
fn no_admin_key_is_issued_beside_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    assert!(serving.first.is_some());
    serving.kill();
    let raw = rusqlite::Connection::open(folder.path().join("keystile.db")).unwrap();
    let sql = "UPDATE api_keys SET permissions = 'not json'";
    assert_eq!(raw.execute(sql, []).unwrap(), 1);
    for arguments in [&[][..], &["--admin-key-file", "key.txt"]] {
        let serving = Serving::start(folder.path(), arguments);
        assert!(serving.first.is_none());
        let errors = serving.errors();
        assert!(errors.contains("row 1, key "), "{errors}");
        assert!(
            errors.contains("issued no admin key, because that row may be one"),
            "{errors}"
        );
        assert_eq!(serving.call("", "GET /readyz", None).0, 200, "it serves");
    }
    assert!(!folder.path().join("key.txt").exists());
    // Another admin key is enough to go on.
    let output = crate::serving::program(
        folder.path(),
        &["issue", "--client", "Admin", "--permission", "*"],
    )
    .output()
    .unwrap();
    assert!(output.status.success());
    let errors = Serving::start(folder.path(), &[]).errors();
    assert!(!errors.contains("damaged"), "{errors}");
}
