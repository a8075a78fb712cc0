//! What the layer costs: the same axum app with and without it, under the same load.
//!
//! `cargo bench -p keystile-tower` sends the same requests over kept connections to one
//! app after the other, in short rounds that swap their order, and prints the medians and
//! the ratio of the pairs: what else the machine does is then the same for both of a pair.
//! A word behind `--` names the contests that are wanted. The load comes from this process
//! too, on a thread of its own: it costs both alike.
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
use tokio::sync::Mutex;
use tower::{Layer, Service};

/// Connections to each server.
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
        true => (150, Duration::from_millis(70)),
        false => (1, Duration::from_millis(50)),
    };
    let one_thread = || -> Runtime {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (servers, clients) = (one_thread(), one_thread());
    let contests = servers.block_on(contests());
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let is_meant = |contest: &Contest| only.as_ref().is_none_or(|text| contest.name.contains(text));
    for contest in contests.into_iter().filter(is_meant) {
        let connect = |server| clients.block_on(connect(server, &contest.request));
        let (to_bare, to_layered) = (connect(contest.bare), connect(contest.layered));
        let load = |connections: &Connections| {
            let before = servers.block_on(cpu_time(&servers));
            let (count, took) = clients.block_on(load(connections, time));
            let after = servers.block_on(cpu_time(&servers));
            Load {
                rate: count / took.as_secs_f64(),
                cost: (after - before) / count,
            }
        };
        let (mut bare, mut layered) = (Vec::new(), Vec::new());
        load(&to_bare);
        load(&to_layered);
        for round in 0..rounds {
            if round % 2 == 0 {
                bare.push(load(&to_bare));
                layered.push(load(&to_layered));
            } else {
                layered.push(load(&to_layered));
                bare.push(load(&to_bare));
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
        authenticator.save_issued(&issued).await.unwrap();
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

/// Connections that are kept, each for one request at a time.
type Connections = Vec<Arc<Mutex<Connection>>>;

struct Connection {
    stream: TcpStream,
    request: Arc<str>,
}

async fn connect(server: SocketAddr, request: &str) -> Connections {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = request.into();
        connections.push(Arc::new(Mutex::new(Connection { stream, request })));
    }
    connections
}

/// Requests that were answered, over all connections, and in what time.
async fn load(connections: &Connections, time: Duration) -> (f64, Duration) {
    let begin = Instant::now();
    let end = begin + time;
    let loads: Vec<_> = connections
        .iter()
        .map(|connection| {
            let connection = Arc::clone(connection);
            tokio::spawn(async move { connection.lock().await.requests(end).await })
        })
        .collect();
    let mut count = 0;
    for load in loads {
        count += load.await.unwrap();
    }
    (f64::from(count), begin.elapsed())
}

impl Connection {
    async fn requests(&mut self, end: Instant) -> u32 {
        let mut buffer = [0; 4_096];
        let mut count = 0;
        while Instant::now() < end {
            self.stream
                .write_all(self.request.as_bytes())
                .await
                .unwrap();
            let mut length = 0;
            // Each answer ends in the one word that the app says.
            while !buffer[..length].ends_with(b"hello") {
                let read = self.stream.read(&mut buffer[length..]).await.unwrap();
                assert_ne!(read, 0, "the server hung up");
                length += read;
            }
            assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"), "it was allowed");
            count += 1;
        }
        count
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
