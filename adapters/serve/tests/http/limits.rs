//! Bounds on what clients take up, and the end.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use keystile::Lookup;
use keystile_store::Store;

use crate::service::Running;

/// Longest wait; only a server that hangs gets there.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(address: SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset has ended too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_is_hung_up_on() {
    let running = Running::with(|settings| {
        settings.limits.header_read = Duration::from_millis(300);
        settings.limits.request = Duration::from_millis(600);
    })
    .await;
    let address = running.address;
    blocking(move || {
        for half in ["", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: a\r\nX-A"] {
            let start = Instant::now();
            let answer = rest(open(address, half));
            assert!(!answer.contains(" 200 "), "{half:?}: {answer}");
            assert!(start.elapsed() < PATIENCE, "{half:?}");
        }
        // A connection that is idle after a response, too.
        let answer = rest(open(address, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        // A body that does not come ends the request.
        let head = "POST /v1/verify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                    Content-Length: 99\r\n\r\n{";
        let answer = rest(open(address, head));
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\"unavailable\""), "{answer}");
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_for_a_place() {
    let running = Running::with(|settings| settings.limits.connections = 2).await;
    let address = running.address;
    blocking(move || {
        let ask = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let held = [open(address, "GET"), open(address, "GET")];
        std::thread::sleep(Duration::from_millis(100));
        let mut third = open(address, ask);
        third
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(third.read(&mut [0]).is_err(), "no place yet");
        drop(held);
        third.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(rest(third).starts_with("HTTP/1.1 200 "));
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_is_under_way_and_loses_no_last_use() {
    let running = Running::start().await;
    let (address, key) = (running.address, running.keys["key"].clone());
    let id = key["acme_".len()..][..16].parse().unwrap();
    let store = running.store.clone();
    let head = format!(
        "POST /v1/verify HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
    );
    let (mut under_way, idle) =
        blocking(move || (open(address, &head), open(address, "GET /healthz"))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopping = tokio::spawn(running.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = blocking(move || {
        assert!(
            TcpStream::connect(address).is_err(),
            "nobody is let in any more"
        );
        under_way.write_all(b"}").unwrap();
        rest(under_way)
    })
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"allow\""), "{answer}");
    drop(idle);
    tokio::time::timeout(PATIENCE, stopping)
        .await
        .unwrap()
        .unwrap();
    let record = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
    assert!(record.last_used_at.is_some(), "the last use was noted");
}

/// Who does not finish does not keep the service from its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_only_so_long() {
    let running = Running::with(|settings| {
        settings.limits.grace = Duration::from_millis(300);
    })
    .await;
    let address = running.address;
    let head = "POST /v1/verify HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\
                Content-Type: application/json\r\n\r\n{";
    let _held = blocking(move || open(address, head)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    tokio::time::timeout(PATIENCE, running.stop())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_dressed_and_none_is_kept() {
    let running = Running::start().await;
    for request in [
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /v1/keys",
        "GET /nowhere",
        "PUT /v1/keys",
        "POST /v1/verify",
        "GET /v1/authorize",
    ] {
        let answer = running.ask(request, &[], None).await;
        for line in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.head.contains(line), "{request}: {answer:?}");
        }
    }
    let not_this_way = running.ask("PUT /v1/keys", &[], None).await;
    assert_eq!(not_this_way.status, 405);
    assert!(not_this_way.head.contains("allow: "), "{not_this_way:?}");
    let numbers = running.ask("GET /metrics", &[], None).await;
    for name in [
        "keystile_decisions_total{",
        "keystile_fetches_total ",
        "keystile_cache_entries ",
    ] {
        assert!(numbers.body.contains(name), "{name}: {}", numbers.body);
    }
    running.stop().await;
}
