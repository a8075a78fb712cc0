//! The server: accepts connections, limits their number and time, and shuts them down.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use keystile_http::Connection;
use keystile_store::{Authenticator, Store, StoreError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Service as _;

use crate::app::App;
use crate::backend::Backend;
use crate::router::router;
use crate::settings::{Limits, Settings};

/// The pause after accept failed, as it does when the process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The HTTP service: all routes for one authenticator.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use keystile::{KeyFormat, Verifier};
/// use keystile_serve::{Service, Settings};
/// use keystile_store::{Authenticator, MemoryStore};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// let verifier = Verifier::new(KeyFormat::any_structured());
/// let authenticator = Authenticator::builder(Arc::new(MemoryStore::new()), verifier).build()?;
/// let service = Service::new(authenticator, Settings::new()?);
/// assert!(service.document()?.contains("/v1/verify"));
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
/// let served = tokio::spawn(service.serve(listener, async { drop(stopped.await) }));
///
/// // The admin API refuses a request without a key.
/// let mut client = TcpStream::connect(address).await?;
/// client.write_all(b"GET /v1/keys HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
/// let mut response = String::new();
/// client.read_to_string(&mut response).await?;
/// assert!(response.starts_with("HTTP/1.1 401 "));
/// assert!(response.contains(r#""code":"missing_credential""#));
/// drop(stop);
/// served.await??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Service {
    backend: Arc<dyn Backend>,
    router: Router,
    api: serde_json::Value,
    limits: Limits,
}

impl Service {
    /// Creates a service for the keys of an authenticator.
    #[must_use]
    pub fn new<S: Store + 'static>(authenticator: Authenticator<S>, settings: Settings) -> Self {
        let limits = settings.limits;
        let backend: Arc<dyn Backend> = Arc::new(authenticator);
        let (router, api) = router(App::new(Arc::clone(&backend), settings));
        Self {
            backend,
            router,
            api,
            limits,
        }
    }

    /// The OpenAPI document, as JSON.
    ///
    /// # Errors
    /// None, since all keys of the document are strings.
    pub fn document(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&self.api)
    }

    /// Serves HTTP/1 on a listener until `stop` completes. Then it accepts no more
    /// connections, finishes the requests in progress within the grace period, and writes the
    /// last uses.
    ///
    /// # Errors
    /// The store's error, if the last uses could not be written.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let mut stop = pin!(stop);
        loop {
            let taken = tokio::select! {
                taken = accept(&listener, &permits) => taken,
                () = &mut stop => break,
            };
            let Ok((stream, peer, permit)) = taken else {
                tracing::warn!("cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let router = self.router.clone();
            let service = service_fn(move |mut request: hyper::Request<Incoming>| {
                request.extensions_mut().insert(peer);
                router.clone().call(request)
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.header_read)
                .max_headers(self.limits.headers)
                .max_buf_size(self.limits.header_bytes.max(HEADER_BYTES_MIN))
                .serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // An error means that the client disconnected or was too slow: ignore it.
                let _ = connection.await;
                drop(permit);
            });
        }
        drop(listener);
        tracing::info!("stopping");
        let finished = tokio::time::timeout(self.limits.grace, graceful.shutdown()).await;
        if finished.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
        self.backend.stop().await
    }
}

impl core::fmt::Debug for Service {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// The minimum that hyper accepts.
const HEADER_BYTES_MIN: usize = 8_192;

type Taken = (TcpStream, Connection, tokio::sync::OwnedSemaphorePermit);

/// The next connection, when a permit is free for it.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> io::Result<Taken> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let permit = permit.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    // Responses are small, and each is written at once.
    stream.set_nodelay(true)?;
    Ok((stream, Connection::plain(address.ip()), permit))
}
