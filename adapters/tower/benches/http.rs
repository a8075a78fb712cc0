//! What the layer costs: the same axum app with and without it, under the same load.
//!
//! `cargo bench -p keystile-tower` sends the same requests over kept connections to one
//! app after the other, in rounds that swap their order, and prints the medians and the
//! ratio. The load comes from this process too, on a thread of its own: it costs both alike.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use keystile::{
    IssueRequest, KeyFormat, Millis, PepperRing, RateLimit, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{Authenticator, MemoryStore};
use keystile_tower::ApiKeyLayer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// Connections that are kept, each with one request under way.
const CONNECTIONS: usize = 32;

struct Contest {
    name: &'static str,
    bare: SocketAddr,
    layered: SocketAddr,
    request: String,
}

fn main() {
    // Without `--bench`, as in a test run, it is only tried.
    let (rounds, time) = match std::env::args().any(|argument| argument == "--bench") {
        true => (15, Duration::from_millis(700)),
        false => (1, Duration::from_millis(50)),
    };
    let one_thread = || -> Runtime {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (servers, clients) = (one_thread(), one_thread());
    let contests = servers.block_on(contests());
    for contest in contests {
        let load = |server| clients.block_on(load(server, contest.request.clone(), time));
        let (mut bare, mut layered, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        load(contest.bare);
        load(contest.layered);
        for round in 0..rounds {
            let (one, other) = if round % 2 == 0 {
                let one = load(contest.bare);
                (one, load(contest.layered))
            } else {
                let other = load(contest.layered);
                (load(contest.bare), other)
            };
            bare.push(one);
            layered.push(other);
            ratios.push(other / one);
        }
        println!(
            "{:24} bare {:7.0}/s   with the layer {:7.0}/s   ratio {:.3}",
            contest.name,
            median(bare),
            median(layered),
            median(ratios)
        );
    }
}

/// The app of which one copy has the layer in front.
fn app() -> Router {
    Router::new().route("/api/profile", get(async || "hello"))
}

async fn contests() -> Vec<Contest> {
    let format = KeyFormat::structured("acme").unwrap();
    let verifier = Verifier::new(format.clone());
    let store = Arc::new(MemoryStore::new());
    let authenticator = Authenticator::builder(store, verifier).build().unwrap();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = UnixMillis::new(u64::try_from(since.as_millis()).unwrap()).unwrap();
    let limit = RateLimit::new(1_000_000_000, Millis::from_hours(1)).unwrap();
    let request = || {
        let request = IssueRequest::new("Acme").unwrap();
        request
            .permissions(["read"])
            .unwrap()
            .endpoints(["/api/*"])
            .unwrap()
    };
    let layer = ApiKeyLayer::new(authenticator.clone())
        .requires("read")
        .unwrap();
    let bare = serve(app()).await;
    let layered = serve(app().layer(layer)).await;
    let mut contests = Vec::new();
    for (name, request) in [
        ("a key", request()),
        ("a key with a rate limit", request().rate_limit(limit)),
    ] {
        let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now).unwrap();
        authenticator.keep_issued(&issued).await.unwrap();
        let request = format!(
            "GET /api/profile HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\n\
             Accept: */*\r\nX-API-Key: {}\r\n\r\n",
            issued.key.expose()
        );
        contests.push(Contest {
            name,
            bare,
            layered,
            request,
        });
    }
    contests
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Requests that were answered in a second, over all connections.
async fn load(server: SocketAddr, request: String, time: Duration) -> f64 {
    let request: Arc<str> = request.into();
    let begin = Instant::now();
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(requests(server, Arc::clone(&request), begin + time)))
        .collect();
    let mut count = 0;
    for connection in connections {
        count += connection.await.unwrap();
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

async fn requests(server: SocketAddr, request: Arc<str>, end: Instant) -> u32 {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 4_096];
    let mut count = 0;
    while Instant::now() < end {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut length = 0;
        // Each answer ends in the one word that the app says.
        while !buffer[..length].ends_with(b"hello") {
            let read = stream.read(&mut buffer[length..]).await.unwrap();
            assert_ne!(read, 0, "the server hung up");
            length += read;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"), "it was allowed");
        count += 1;
    }
    count
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
