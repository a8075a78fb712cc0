//! Real Caddy with `forward_auth`, by the example configuration, in front of a real service.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::driver::{self, Answer};
use crate::nginx::{TO_ADMIN, find, free_address};
use crate::service::Running;
use crate::upstream::{Upstream, values};

/// Where it is set, a missing Caddy is a failure and no reason to skip.
const REQUIRED: &str = "KEYSTILE_REQUIRE_CADDY";
const CONFIGURATION: &str = include_str!("../../gateways/Caddyfile");

struct Caddy {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Caddy {
    /// Nothing where Caddy is not installed; that is said, unless it is required.
    fn start(keystile: SocketAddr, service: SocketAddr) -> Option<Self> {
        let Some(program) = find("caddy") else {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "Caddy is not installed, and {REQUIRED} is set; try `apt install caddy`"
            );
            // Not by a macro, whose output the harness keeps to itself.
            let reason = "skipped: Caddy is not installed; try `apt install caddy`";
            let _ = writeln!(std::io::stderr(), "{reason}");
            return None;
        };
        let address = free_address();
        let own = CONFIGURATION
            .replace("127.0.0.1:8080", &keystile.to_string())
            .replace("127.0.0.1:3000", &service.to_string())
            .replace(":8000 {", &format!(":{} {{", address.port()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Caddyfile");
        // Its own port for administration might be in use.
        std::fs::write(&path, format!("{{\n\tadmin off\n}}\n{own}")).unwrap();
        let process = Command::new(program)
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(&path)
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut caddy = Self {
            address,
            process,
            _folder: folder,
        };
        for _ in 0..2_000 {
            if TcpStream::connect(address).is_ok() {
                return Some(caddy);
            }
            assert!(caddy.process.try_wait().unwrap().is_none(), "Caddy ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("Caddy does not listen");
    }

    fn ask(&self, request: &str, headers: &[&str]) -> Answer {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("{request} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
        driver::answer(self.address, text.as_bytes()).expect("an answer")
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_lets_pass_what_keystile_allows_and_nothing_else() {
    let running = Running::start().await;
    let upstream = Upstream::start();
    let Some(caddy) = Caddy::start(running.address, upstream.address) else {
        return;
    };
    let (admin, keys) = (running.admin.clone(), running.keys.clone());
    tokio::task::spawn_blocking(move || {
        let line = |key: &str| format!("X-API-Key: {key}");
        let reader = line(&keys["reader"]);
        let forged = [
            reader.as_str(),
            "X-Keystile-Key-Id: root",
            "X-Keystile-Owner: root",
            "X_Keystile_Client: root",
            "X-Forwarded-Uri: /other",
            "X-Forwarded-Method: HEAD",
            "X-Original-URI: /other",
        ];
        assert_eq!(caddy.ask("GET /things?q=/../x", &forged).status, 200);
        let got = upstream.got();
        assert!(
            got[0].starts_with("GET /things?q=/../x HTTP/1.1\r\n"),
            "{got:?}"
        );
        assert_eq!(values(&got[0], "x-keystile-client"), ["Acme"]);
        assert!(!got[0].contains("root"), "{got:?}");
        assert!(
            !got[0].contains(&keys["reader"]),
            "the key stays at the gateway"
        );

        for (kind, status) in [
            ("revoked", 401),
            ("expired", 401),
            ("unknown", 401),
            ("forged", 401),
            ("metrics", 403),
            ("elsewhere", 403),
        ] {
            let answer = caddy.ask("GET /things", &[&line(&keys[kind])]);
            assert_eq!(answer.status, status, "{kind}: {answer:?}");
        }
        assert_eq!(caddy.ask("GET /things", &[]).status, 401);
        assert_eq!(caddy.ask("GET /admin/secret", &[&reader]).status, 403);
        for path in TO_ADMIN {
            let answer = caddy.ask(&format!("GET {path}"), &[&reader]);
            let got = upstream.got();
            // An overlong encoding stands for no dot and no slash in any server of today.
            let harmless = path.starts_with("/x/..%c0%af") || path.starts_with("/x/%e0%80%ae");
            let passed = answer.status == 200 || !got.is_empty();
            assert!(!passed || harmless, "{path}: {answer:?} {got:?}");
        }
        let limited = line(&keys["limited"]);
        assert_eq!(caddy.ask("GET /things", &[&limited]).status, 200);
        let spent = caddy.ask("GET /things", &[&limited]);
        assert_eq!(spent.status, 429);
        assert_eq!(values(&spent.head, "retry-after").len(), 1);
        assert_eq!(upstream.got().len(), 1);
        assert_eq!(caddy.ask("GET /admin/secret", &[&line(&admin)]).status, 200);
    })
    .await
    .unwrap();
    running.stop().await;
}
