//! The service of the Express recipe for API keys, as an axum program: two routes, three scopes.
//!
//! ```text
//! cargo run -p keystile-tower --features axum --example express
//! curl -i -H "X-API-Key: dt_…" http://127.0.0.1:3000/api/profile
//! curl -i -H "Authorization: Bearer dt_…" -X POST http://127.0.0.1:3000/api/data
//! ```
#![allow(clippy::print_stdout, reason = "the keys are shown once, here")]

use core::error::Error;
use core::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Json, Router};
use keystile::{
    IssueRequest, Issuer, KeyFormat, ScopeTemplate, StatusPolicy, SysRng, UnixMillis, Verifier,
};
use keystile_store::{Authenticator, MemoryStore};
use keystile_tower::{ApiKeyLayer, Connection, VerifiedKey};
use serde_json::{Value, json};

async fn profile(key: VerifiedKey) -> Json<Value> {
    let permissions: Vec<_> = key.permissions().iter().collect();
    Json(json!({ "client": key.client_name(), "permissions": permissions }))
}

async fn create(key: VerifiedKey) -> Json<Value> {
    Json(json!({ "message": "Data created successfully", "client": key.client_name() }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let format = KeyFormat::opaque("dt")?;
    let store = Arc::new(MemoryStore::new()); // use SqliteStore or PostgresStore in production
    let authenticator = Authenticator::builder(store, Verifier::new(format.clone())).build()?;

    let now = UnixMillis::now()?;
    let issuer = Issuer::new(format);
    for template in ScopeTemplate::presets() {
        let name = template.name.as_str().to_owned();
        let request = IssueRequest::new(&name)?.template(template);
        let issued = issuer.issue(&request, &mut SysRng, now)?;
        authenticator.save_issued(&issued).await?;
        println!("{name:12} {}", issued.key.expose());
    }

    let keys = ApiKeyLayer::builder(authenticator.clone())
        .status_policy(StatusPolicy::Express)
        .connection_by(|extensions| {
            let peer = extensions.get::<ConnectInfo<SocketAddr>>()?;
            Some(Connection::plain(peer.ip()))
        })
        .build();
    let writers = keys.requires("write")?;
    let app = Router::new()
        .route("/api/profile", get(profile).layer(keys))
        .route("/api/data", post(create).layer(writers.clone()))
        .route("/api/data/{*part}", post(create).layer(writers))
        .into_make_service_with_connect_info::<SocketAddr>();

    let port = std::env::args().nth(1).unwrap_or_else(|| "3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, app)
        .with_graceful_shutdown(ctrl_c)
        .await?;
    authenticator.stop().await?; // writes the last uses
    Ok(())
}
