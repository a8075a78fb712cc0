//! Real nginx with `auth_request`, by the example configuration, in front of a real
//! service.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keystile::{IssueRequest, Millis, RateLimit};
use tempfile::TempDir;

use crate::driver::{self, Answer};
use crate::service::Running;
use crate::upstream::{Upstream, values};

/// If it is set, a missing nginx fails the tests instead of skipping them.
const REQUIRED: &str = "KEYSTILE_REQUIRE_NGINX";
const CONFIGURATION: &str = include_str!("../../gateways/nginx.conf");

struct Nginx {
    address: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Nginx {
    /// `None` if nginx is not installed and not required; the test prints that.
    fn start(keystile: SocketAddr, service: SocketAddr) -> Option<Self> {
        Self::start_with(CONFIGURATION, keystile, service)
    }

    fn start_with(configuration: &str, keystile: SocketAddr, service: SocketAddr) -> Option<Self> {
        let Some(program) = find("nginx") else {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "nginx is not installed, and {REQUIRED} is set; try `apt install nginx-light`"
            );
            // Not by a macro, whose output the harness keeps to itself.
            let reason = "skipped: nginx is not installed; try `apt install nginx-light`";
            let _ = writeln!(std::io::stderr(), "{reason}");
            return None;
        };
        let address = free_address();
        let mut configuration = configuration.to_owned();
        for (example, own) in [
            ("127.0.0.1:8080", keystile),
            ("127.0.0.1:3000", service),
            ("127.0.0.1:8000", address),
        ] {
            assert!(configuration.contains(example), "{example}");
            configuration = configuration.replace(example, &own.to_string());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, configuration).unwrap();
        let errors = std::fs::File::create(folder.path().join("errors")).unwrap();
        let process = Command::new(program)
            .args([
                "-g",
                "daemon off; master_process off;",
                "-e",
                "stderr",
                "-p",
            ])
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut nginx = Self {
            address,
            process,
            folder,
        };
        nginx.wait();
        Some(nginx)
    }

    fn wait(&mut self) {
        for _ in 0..500 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {}", self.errors());
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nginx does not listen: {}", self.errors());
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("errors")).unwrap()
    }

    /// The answer to a request line without its version, and header lines.
    fn ask(&self, request: &str, headers: &[&str]) -> Answer {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("{request} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
        driver::answer(self.address, text.as_bytes()).expect("an answer")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_lets_pass_what_keystile_allows_and_nothing_else() {
    let running = Running::start().await;
    let upstream = Upstream::start();
    let Some(nginx) = Nginx::start(running.address, upstream.address) else {
        return;
    };
    let owned = IssueRequest::new("Acmé 100%")
        .unwrap()
        .owner("acme")
        .unwrap();
    let owned = owned.permissions(["read"]).unwrap();
    let (named, named_id) = running.issue(owned).await;
    let three = RateLimit::new(3, Millis::from_hours(1)).unwrap();
    let limited = IssueRequest::new("Acme").unwrap().rate_limit(three);
    let (limited, _) = running.issue(limited.permissions(["read"]).unwrap()).await;
    let (admin, keys) = (running.admin.clone(), running.keys.clone());

    tokio::task::spawn_blocking(move || {
        identity(&nginx, &upstream, &named, &named_id);
        refusals(&nginx, &upstream, &keys, &limited);
        locations(&nginx, &upstream, &keys["reader"], &admin);
        tricks(&nginx, &upstream, &keys["reader"], &keys["metrics"]);
        assert!(
            !nginx.errors().contains("unexpected status"),
            "{}",
            nginx.errors()
        );
    })
    .await
    .unwrap();
    running.stop().await;
}

/// The control: if keystile does not get the original path, the tricks reach the service. It
/// is the check of the raw path that stops them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tricks_work_if_the_path_is_not_checked() {
    let running = Running::start().await;
    let upstream = Upstream::start();
    let blind = CONFIGURATION.replace("X-Original-URI $request_uri;", "X-Original-URI /;");
    assert_ne!(blind, CONFIGURATION);
    let Some(nginx) = Nginx::start_with(&blind, running.address, upstream.address) else {
        return;
    };
    let reader = format!("X-API-Key: {}", running.keys["reader"]);
    let reached = tokio::task::spawn_blocking(move || {
        for path in TO_ADMIN {
            nginx.ask(&format!("GET {path}"), &[&reader]);
        }
        upstream.got().len()
    });
    let reached = reached.await.unwrap();
    assert!(reached >= 10, "{reached} tricks reached it");
    running.stop().await;
}

/// The service learns whose key it was, and believes nothing that the client says of it.
fn identity(nginx: &Nginx, upstream: &Upstream, key: &str, id: &str) {
    let key_line = format!("X-API-Key: {key}");
    let forged = [
        key_line.as_str(),
        "X-Keystile-Key-Id: 1AAAAAAAAAAAAAAA",
        "X-Keystile-Client: root",
        "X-Keystile-Owner: root",
        "X-Keystile-Environment: live",
        "X_Keystile_Client: root",
        "X-Original-URI: /api/metrics/cpu",
        "X-Original-Method: HEAD",
        "X-Auth-Status: 200",
    ];
    let answer = nginx.ask("GET /things?q=/../x", &forged);
    assert_eq!(answer.status, 200, "{answer:?}");
    let got = upstream.got();
    assert_eq!(got.len(), 1);
    let head = &got[0];
    assert!(
        head.starts_with("GET /things?q=/../x HTTP/1.1\r\n"),
        "{head}"
    );
    assert_eq!(values(head, "x-keystile-key-id"), [id]);
    assert_eq!(values(head, "x-keystile-client"), ["Acm%C3%A9 100%25"]);
    assert_eq!(values(head, "x-keystile-owner"), ["acme"]);
    assert!(values(head, "x-keystile-environment").is_empty(), "{head}");
    assert!(!head.contains("root"), "{head}");
    assert!(!head.contains(key), "the key stays at the gateway");
}

fn refusals(
    nginx: &Nginx,
    upstream: &Upstream,
    keys: &std::collections::HashMap<&'static str, String>,
    limited: &str,
) {
    for (name, status) in [
        ("revoked", 401),
        ("suspended", 401),
        ("expired", 401),
        ("replaced", 401),
        ("unknown", 401),
        ("forged", 401),
        ("metrics", 403),
        ("elsewhere", 403),
    ] {
        let answer = nginx.ask("GET /things", &[&format!("X-API-Key: {}", keys[name])]);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let missing = nginx.ask("GET /things", &[]);
    assert_eq!(missing.status, 401);
    assert_eq!(values(&missing.head, "www-authenticate"), ["Bearer"]);
    let [key, other] = ["key", "other"].map(|name| format!("X-API-Key: {}", keys[name]));
    let conflicting = nginx.ask("GET /things", &[&key, &other]);
    assert_eq!(conflicting.status, 400);
    assert!(
        upstream.got().is_empty(),
        "a refused request reaches nothing"
    );

    let limited = format!("Authorization: Bearer {limited}");
    let statuses: Vec<_> = (0..4)
        .map(|_| nginx.ask("GET /things", &[&limited]))
        .map(|answer| (answer.status, values(&answer.head, "retry-after").len()))
        .collect();
    assert_eq!(statuses, [(200, 0), (200, 0), (200, 0), (429, 1)]);
    assert_eq!(upstream.got().len(), 3);
}

fn locations(nginx: &Nginx, upstream: &Upstream, reader: &str, admin: &str) {
    let [reader, admin] = [reader, admin].map(|key| format!("X-API-Key: {key}"));
    assert_eq!(nginx.ask("GET /admin/secret", &[&reader]).status, 403);
    assert!(upstream.got().is_empty());
    assert_eq!(nginx.ask("DELETE /admin/secret", &[&admin]).status, 200);
    let got = upstream.got();
    assert!(
        got[0].starts_with("DELETE /admin/secret HTTP/1.1\r\n"),
        "{got:?}"
    );
    // The question itself is not to be asked from outside.
    assert_eq!(nginx.ask("GET /_keystile", &[&admin]).status, 404);
    assert!(upstream.got().is_empty());
}

/// A1 to A10 and more: no spelling of a path reaches what the plain one does not. nginx
/// matches a decoded and merged path, and passes on the raw one.
fn tricks(nginx: &Nginx, upstream: &Upstream, reader: &str, metrics: &str) {
    let reader = format!("X-API-Key: {reader}");
    for path in TO_ADMIN {
        for method in ["GET", "POST", "HEAD"] {
            let answer = nginx.ask(&format!("{method} {path}"), &[&reader]);
            let got = upstream.got();
            let passed = answer.status == 200 || !got.is_empty();
            // An overlong encoding stands for no dot and no slash in any server of today:
            // these are names below /x/, where a reader may go.
            let harmless = path.starts_with("/x/..%c0%af") || path.starts_with("/x/%e0%80%ae");
            assert!(!passed || harmless, "{method} {path}: {answer:?} {got:?}");
        }
    }
    let metrics = format!("X-API-Key: {metrics}");
    let own = nginx.ask("GET /api/metrics/cpu?x=../..", &[&metrics]);
    assert_eq!(own.status, 200);
    assert_eq!(upstream.got().len(), 1);
    for path in [
        "/api/metrics",
        "/api/metricsx/cpu",
        "/api/metrics../cpu",
        "/api/metrics/../profile",
        "/api/metrics/%2e%2e/profile",
        "/api/metrics/..%2fprofile",
        "/api/metrics/%252e%252e/profile",
        "/api/metrics//profile",
        "/api//metrics/cpu",
        "//api/metrics/cpu",
        "/api/metrics/x/../../profile",
        "/api/metrics/..;/profile",
        "/api/metrics/..\\profile",
        "/API/metrics/cpu",
    ] {
        let answer = nginx.ask(&format!("GET {path}"), &[&metrics]);
        assert_ne!(answer.status, 200, "{path}");
        assert!(upstream.got().is_empty(), "{path}");
    }
    let post = nginx.ask("POST /api/metrics/cpu", &[&metrics]);
    assert_eq!(
        (post.status, upstream.got().len()),
        (403, 0),
        "its method is GET"
    );
}

pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The program, in the search path or in root's.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&in_path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .map(|folder| folder.join(program))
        .find(|program| program.exists())
}

/// Spellings of a path that is only for admins, as one program or another reads it.
pub(crate) const TO_ADMIN: [&str; 41] = [
    "/x/../admin/secret",
    "/./admin/secret",
    "/x/%2e%2e/admin/secret",
    "/x/%2E./admin/secret",
    "/x/.%2e/admin/secret",
    "/x/..%2fadmin/secret",
    "/x%2f..%2fadmin%2fsecret",
    "/%61dmin/secret",
    "/admin%2fsecret",
    "/admin%2Fsecret",
    "/admin%5csecret",
    "/admin\\secret",
    "/x/..\\admin/secret",
    "/x/..%5cadmin/secret",
    "/x/%252e%252e/admin/secret",
    "/%2561dmin/secret",
    "/admin%252fsecret",
    "//admin/secret",
    "/admin//secret",
    "///admin/secret",
    "/x//../admin/secret",
    "/admin;/secret",
    "/x;/../admin/secret",
    "/x/..;/admin/secret",
    "/admin/secret%00",
    "/admin/secret%0a",
    "/admin/secret%23",
    "/admin/secret%3f",
    "/admin/./secret",
    "/admin/x/../secret",
    "/admin/secret/.",
    "/admin/secret/..",
    "http://a.example/x/../admin/secret",
    "http://a.example//admin/secret",
    "http://a.example/admin/secret",
    "/admin/secret?x=/public",
    "/admin/secret#/public",
    "/x/..%c0%afadmin/secret",
    "/x/%e0%80%ae%e0%80%ae/admin/secret",
    "/x/%u002e%u002e/admin/secret",
    "/x/%2/admin/secret",
];
