//! An axum app behind the layer, on a socket.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use keystile::StatusPolicy;
use keystile_store::{Authenticator, MemoryStore, Store};
use keystile_tower::{ApiKeyLayer, ApiKeyLayerBuilder, Connection, VerifiedKey, require};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::driver::{self, Answer};
use crate::keys;

/// A running service, which ends with the test.
pub(crate) struct Service<S = MemoryStore> {
    pub(crate) address: SocketAddr,
    pub(crate) authenticator: Authenticator<S>,
    pub(crate) keys: HashMap<&'static str, String>,
}

/// What every test's layer has: the peer's address.
pub(crate) fn layer<S: Store + 'static>(authenticator: &Authenticator<S>) -> ApiKeyLayerBuilder<S> {
    ApiKeyLayer::builder(authenticator.clone()).connection_by(|extensions| {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(Connection::plain(peer.ip()))
    })
}

/// All routes behind one layer.
pub(crate) fn app<S: Store + 'static>(layer: ApiKeyLayer<S>) -> Router {
    Router::new()
        .route("/api/profile", get(profile))
        .route("/api/metrics/{name}", get(profile).delete(profile))
        .route("/api/data", post(profile).layer(require("write").unwrap()))
        .layer(layer)
}

/// Says whose key it is, and whether the key itself can still be seen.
pub(crate) async fn profile(key: Option<VerifiedKey>, headers: HeaderMap) -> Json<Value> {
    let shown = headers.contains_key("x-api-key") || headers.contains_key("authorization");
    let client = key.as_ref().map(VerifiedKey::client_name);
    let permissions: Option<Vec<_>> = key.as_ref().map(|key| key.permissions().iter().collect());
    Json(json!({ "client": client, "permissions": permissions, "shown": shown }))
}

/// A service over a store in memory, with a key of every kind.
pub(crate) async fn service(
    set_up: impl FnOnce(ApiKeyLayerBuilder<MemoryStore>) -> Router,
) -> Service {
    let store = Arc::new(MemoryStore::new());
    let keys = keys::of_every_kind(&*store).await;
    let authenticator = Authenticator::builder(store, keys::verifier())
        .build()
        .unwrap();
    let app = set_up(layer(&authenticator));
    Service {
        address: serve(app).await,
        authenticator,
        keys,
    }
}

/// The app behind the layer, with this policy and without a limit on invalid keys.
pub(crate) async fn with_policy(policy: StatusPolicy) -> Service {
    service(|builder| {
        app(builder
            .status_policy(policy)
            .without_invalid_key_limit()
            .build())
    })
    .await
}

pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

impl<S> Service<S> {
    /// The answer to a GET with these header lines.
    pub(crate) async fn get(&self, path: &str, headers: &[String]) -> Answer {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
        let address = self.address;
        let asked = tokio::task::spawn_blocking(move || driver::answer(address, bytes.as_bytes()));
        asked.await.unwrap().expect("an answer")
    }

    /// The answer to a GET of the profile with this key.
    pub(crate) async fn profile(&self, key: &str) -> Answer {
        self.get("/api/profile", &[format!("X-API-Key: {key}")])
            .await
    }
}
