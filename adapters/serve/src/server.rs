//! Connections: how many, how slow, and how they end.

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
use keystile_store::{Authenticator, Store, StoreError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Service as _;
use utoipa::openapi::OpenApi;

use crate::app::App;
use crate::backend::Backend;
use crate::peer::Peer;
use crate::router::router;
use crate::settings::{Limits, Settings};

/// Pause after a connection could not be taken: the process has too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The service: all routes over one authenticator.
pub struct Service {
    backend: Arc<dyn Backend>,
    router: Router,
    api: OpenApi,
    limits: Limits,
}

impl Service {
    /// The service for the keys of an authenticator.
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
    /// None, as long as the document has no other keys than texts.
    pub fn document(&self) -> Result<String, serde_json::Error> {
        self.api.to_pretty_json()
    }

    /// Serves HTTP/1 on a listener until `stop` ends. Then no connection is taken any more,
    /// what is under way is finished within the time of grace, and the last uses are noted.
    ///
    /// # Errors
    /// The store's, where the last uses could not be noted.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let mut stop = pin!(stop);
        loop {
            let taken = tokio::select! {
                taken = accept(&listener, &places) => taken,
                () = &mut stop => break,
            };
            let Ok((stream, peer, place)) = taken else {
                tracing::warn!("a connection could not be taken");
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
                // Of no interest: the client went away, or was too slow.
                let _ = connection.await;
                drop(place);
            });
        }
        drop(listener);
        tracing::info!("stopping");
        let finished = tokio::time::timeout(self.limits.grace, graceful.shutdown()).await;
        if finished.is_err() {
            tracing::warn!("some requests were not finished in time");
        }
        self.backend.stop().await
    }
}

impl core::fmt::Debug for Service {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// The least that hyper takes.
const HEADER_BYTES_MIN: usize = 8_192;

type Taken = (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Taken> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    // Answers are small, and each is written at once.
    stream.set_nodelay(true)?;
    Ok((stream, Peer(address), place))
}
