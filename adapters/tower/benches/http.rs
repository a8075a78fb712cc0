//! What the layer costs: the same axum app with and without it, under the same load.
//!
//! `cargo bench -p keystile-tower` sends the same requests over kept connections to one
//! app after the other, in rounds that swap their order, and prints the medians and the
//! ratio. The load comes from this process too, on a thread of its own: it costs both alike.
//! Beside it stands what one request costs the server's thread, which other programs on
//! the machine disturb less.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

use core::convert::Infallible;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use axum::{Router, ServiceExt};
use keystile::{
    IssueRequest, KeyFormat, Millis, PepperRing, RateLimit, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{Authenticator, MemoryStore};
use keystile_tower::ApiKeyLayer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

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
        let load = |server| {
            let before = servers.block_on(cpu_time(&servers));
            let count = clients.block_on(load(server, contest.request.clone(), time));
            let after = servers.block_on(cpu_time(&servers));
            Load {
                rate: count / time.as_secs_f64(),
                cost: (after - before) / count,
            }
        };
        let (mut bare, mut layered) = (Vec::new(), Vec::new());
        load(contest.bare);
        load(contest.layered);
        for round in 0..rounds {
            if round % 2 == 0 {
                bare.push(load(contest.bare));
                layered.push(load(contest.layered));
            } else {
                layered.push(load(contest.layered));
                bare.push(load(contest.bare));
            }
        }
        let middle = |loads: &[Load], of: fn(&Load) -> f64| median(loads.iter().map(of));
        let pairs = || bare.iter().zip(&layered);
        println!("{}", contest.name);
        println!(
            "  requests/s          {:9.0} bare {:9.0} with the layer   ratio {:.3}",
            middle(&bare, |load| load.rate),
            middle(&layered, |load| load.rate),
            median(pairs().map(|(bare, layered)| layered.rate / bare.rate)),
        );
        println!(
            "  server, ns/request  {:9.0} bare {:9.0} with the layer   ratio {:.3}",
            middle(&bare, |load| load.cost),
            middle(&layered, |load| load.cost),
            median(pairs().map(|(bare, layered)| layered.cost / bare.cost)),
        );
    }
}

/// What came of a round.
struct Load {
    rate: f64,
    /// Nanoseconds on the server's thread, for one request.
    cost: f64,
}

/// The nanoseconds that the one thread of a runtime has been at work; 0 where the system
/// does not say.
async fn cpu_time(runtime: &Runtime) -> f64 {
    let stat = runtime.spawn(async { std::fs::read_to_string("/proc/thread-self/schedstat") });
    let stat = stat.await.unwrap().unwrap_or_default();
    let first = stat.split(' ').next();
    first.and_then(|time| time.parse().ok()).unwrap_or(0.0)
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
    let (around, inside) = (layer.layer(app()), app().layer(layer));
    let (around, inside) = (serve(around).await, serve(inside).await);
    let mut contests = Vec::new();
    for (name, layered, request) in [
        ("the layer around the app", around, request()),
        ("the layer on its router", inside, request()),
        (
            "around the app, a key with a rate limit",
            around,
            request().rate_limit(limit),
        ),
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

async fn serve<S>(app: S) -> SocketAddr
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app.into_make_service()).await });
    address
}

/// Requests that were answered, over all connections.
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
    f64::from(count)
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

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
