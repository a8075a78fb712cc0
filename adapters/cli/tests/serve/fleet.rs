//! Three services on one PostgreSQL behind nginx: one limit, one count of uses, and a revocation
//! that is in force in all of them, also in one that is cut off from the store.

mod balanced;
#[cfg(feature = "redis")]
mod on_redis;

use core::time::Duration;
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use crate::proxy::{Link, Proxy};
use crate::server::Server;
use crate::serving::{Serving, exchange};

use self::balanced::Balanced;

/// The longest wait for what has to happen; only a service that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Threads that send requests at the same time.
const THREADS: usize = 6;

struct Fleet {
    services: Vec<Serving>,
    nginx: Balanced,
    admin: String,
    folder: TempDir,
    _server: Server,
}

impl Fleet {
    /// `None`, after a message, if PostgreSQL or nginx is not installed.
    fn start(options: &[&str]) -> Option<Self> {
        Self::with_last(options, str::to_owned)
    }

    /// The last service reaches the store by another URL.
    fn with_last(options: &[&str], last: impl FnOnce(&str) -> String) -> Option<Self> {
        let nginx = balanced::program()?;
        let server = Server::start()?;
        let url = server.url("postgres");
        let last = last(&url);
        let folder = tempfile::tempdir().unwrap();
        let mut services = Vec::new();
        for url in [&url, &url, &last] {
            let options = [&["--store", url], options].concat();
            services.push(Serving::start(folder.path(), &options));
        }
        let addresses: Vec<_> = services.iter().map(|service| service.address).collect();
        Some(Self {
            admin: services[0].first.clone().unwrap(),
            nginx: Balanced::start(&nginx, &addresses),
            services,
            folder,
            _server: server,
        })
    }

    /// The text and the id of a new key.
    fn issue(&self, form: &serde_json::Value) -> (String, String) {
        let (status, issued) = self.services[0].call(&self.admin, "POST /v1/keys", Some(form));
        assert_eq!(status, 201, "{issued}");
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        (text("key"), text("key_id"))
    }

    fn limited(&self, limit: u32) -> (String, String) {
        self.limited_in(limit, 86_400_000)
    }

    fn limited_in(&self, limit: u32, window_ms: u64) -> (String, String) {
        let limit = json!({ "limit": limit, "window_ms": window_ms });
        self.issue(&json!({ "client_name": "Acme", "rate_limit": limit }))
    }

    fn revoke(&self, id: &str) {
        let request = format!("POST /v1/keys/{id}/revoke");
        assert_eq!(self.services[0].call(&self.admin, &request, None).0, 200);
    }

    /// Has this service cache the record of a key, by a request that spends nothing; and what
    /// happened before is in force there.
    fn cache(&self, service: &Serving, key: &str) {
        let (marker, id) = self.issue(&json!({ "client_name": "Marker" }));
        self.revoke(&id);
        // Events are put in force in their order.
        wait_until(|| service.decision(&marker) == "key_revoked");
        let write = json!({ "requires": "write" });
        let (_, answer) = service.call(key, "POST /v1/verify", Some(&write));
        assert_eq!(answer["code"], "permission_missing");
    }

    /// How many of so many requests pass nginx and the services, from several threads.
    fn passed(&self, key: &str, requests: usize, refusal: &str) -> usize {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let decisions = (0..requests / THREADS).map(|_| self.nginx.decision(key));
                        decisions
                            .filter(|decision| {
                                assert!(["allowed", refusal].contains(&&**decision), "{decision}");
                                decision == "allowed"
                            })
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        })
    }

    /// How many requests of a key with 30 a day pass that all three services know.
    fn passed_of_thirty(&self) -> usize {
        let (key, _) = self.limited(30);
        for service in &self.services {
            self.cache(service, &key);
        }
        let all = self.passed(&key, 120, "rate_limited");
        for service in &self.services {
            let answered = metric(service, "keystile_decision_seconds_count{route=\"verify\"}");
            assert!(answered > 30, "nginx asks each of them");
        }
        all
    }
}

/// The number of this metric.
fn metric(service: &Serving, name: &str) -> u64 {
    let (_, text) = exchange(service.address, "", "GET /metrics", None).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name}: {text}"))
        .trim()
        .parse()
        .unwrap()
}

fn wait_until(is_done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_done() {
        assert!(begun.elapsed() < PATIENCE, "it never is");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn three_services_have_one_limit_and_one_count_of_uses() {
    let Some(fleet) = Fleet::start(&["--limits", "store", "--lease", "0s"]) else {
        return;
    };
    let line = "keystile: rate limits are counted in the store, for all processes; without it, \
                keys with a rate limit get 503\n";
    assert!(fleet.services[0].errors().contains(line));
    // A day has passed a 30th when the next one is free.
    assert_eq!(fleet.passed_of_thirty(), 30);
    for service in &fleet.services {
        assert_eq!(metric(service, "keystile_limits_failed_total"), 0);
        assert!(metric(service, "keystile_limits_asked_total") > 0);
    }
    let (counted, _) = fleet.issue(&json!({ "client_name": "Acme", "uses": 20 }));
    assert_eq!(fleet.passed(&counted, 60, "uses_spent"), 20);
}

/// The control: the test above sees more than the limit if each process counts for itself.
#[test]
fn services_that_count_for_themselves_let_more_pass() {
    let Some(fleet) = Fleet::start(&[]) else {
        return;
    };
    let line = "keystile: rate limits are counted by this process, and by each other process \
                for itself\n";
    assert!(fleet.services[0].errors().contains(line));
    let all = fleet.passed_of_thirty();
    assert!(all > 30, "{all}");
    assert_eq!(metric(&fleet.services[0], "keystile_limits_asked_total"), 0);
}

#[test]
fn with_leases_three_services_keep_one_limit_and_ask_less_often() {
    let Some(fleet) = Fleet::start(&["--limits", "store", "--processes", "3"]) else {
        return;
    };
    let line = "keystile: rate limits are counted in the store, for all processes, with leases \
                of 1s for 3 processes; without it, keys with a rate limit get 503\n";
    assert!(fleet.services[0].errors().contains(line));
    // Fast enough that a process takes several at once, and too fast to be spent.
    let (fast, _) = fleet.limited_in(24_000, 1_000);
    let (key, _) = fleet.limited(600);
    for service in &fleet.services {
        fleet.cache(service, &key);
        fleet.cache(service, &fast);
    }
    let sum = |name: &str| -> u64 { fleet.services.iter().map(|s| metric(s, name)).sum() };
    assert_eq!(fleet.passed(&fast, 300, "rate_limited"), 300);
    let asked = sum("keystile_limits_asked_total");
    assert!(asked < 300, "{asked} calls for 300 requests");
    // Of a slow one each request takes its own, and none is held.
    let first = fleet.passed(&key, 300, "rate_limited");
    assert_eq!(first, 300, "while half of the burst is free");
    // In 140 seconds one more is free; by then the rest has passed.
    let all = first + fleet.passed(&key, 600, "rate_limited");
    assert!(all <= 601, "{all} of 600");
    let taken = sum("keystile_tokens_taken_total");
    assert!(all as u64 <= taken, "{all} passed, and {taken} were taken");
}

#[test]
fn a_revocation_is_in_force_in_a_service_that_is_cut_off() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let bound = Duration::from_secs(2);
    let options = ["--revocation-bound", "2s", "--limits", "store"];
    let mut proxy = None;
    let fleet = Fleet::with_last(&options, |url| {
        let started = runtime.block_on(Proxy::start(url));
        let url = started.url();
        proxy = Some(started);
        url
    });
    let (Some(fleet), Some(proxy)) = (fleet, proxy) else {
        return;
    };
    // The control: without the bound, and with a share, it would go on.
    let url = proxy.url();
    let loose = [
        "--store",
        &url,
        "--revocation-bound",
        "2s",
        "--serve-stale",
        "1h",
    ];
    let share = ["--limits", "store", "--on-limits-loss", "share=3"];
    let loose = Serving::start(fleet.folder.path(), &[&loose[..], &share].concat());
    let line = "with leases of 1s for 4 processes; without it, this process lets one of 3 parts \
                of each limit pass\n";
    assert!(loose.errors().contains(line));
    let (key, id) = fleet.issue(&json!({ "client_name": "Acme" }));
    let (limited, _) = fleet.limited(30);
    let cut_off = &fleet.services[2];
    for service in fleet.services.iter().chain([&loose]) {
        fleet.cache(service, &key);
        fleet.cache(service, &limited);
        assert_eq!(service.decision(&key), "allowed");
    }

    proxy.set(Link::Closed);
    // Its share of 30 a day, of which it has spent nothing yet.
    let passed = (0..15).filter(|_| loose.decision(&limited) == "allowed");
    assert_eq!(passed.count(), 10);
    assert!(metric(&loose, "keystile_limits_degraded_total") >= 10);
    assert_eq!(cut_off.decision(&limited), "store_unavailable");
    assert!(metric(cut_off, "keystile_limits_failed_total") > 0);
    fleet.revoke(&id);
    // It was committed before this.
    let revoked = Instant::now();
    for service in &fleet.services[..2] {
        wait_until(|| service.decision(&key) == "key_revoked");
    }
    // The error of the clock that the bound is measured by.
    let last = bound + bound / 1_000 + Duration::from_millis(1);
    let mut beyond = 0;
    while beyond < 60 {
        let sent = revoked.elapsed();
        let decision = match beyond % 2 {
            0 => cut_off.decision(&key),
            _ => fleet.nginx.decision(&key),
        };
        if sent > last {
            beyond += 1;
            let denied = ["key_revoked", "store_unavailable"];
            assert!(denied.contains(&&*decision), "{decision}, {sent:?} later");
        }
    }
    assert_eq!(
        loose.decision(&key),
        "allowed",
        "it has no bound, and is cut off"
    );

    proxy.set(Link::Open);
    for service in [cut_off, &loose] {
        wait_until(|| service.decision(&key) == "key_revoked");
        wait_until(|| service.decision(&limited) == "allowed");
    }
}
