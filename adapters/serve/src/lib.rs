//! keystile over HTTP: verify keys, authorize requests for gateways, and manage keys.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use keystile::{KeyFormat, Verifier};
//! use keystile_serve::{Service, Settings};
//! use keystile_store::{Authenticator, MemoryStore};
//!
//! let verifier = Verifier::new(KeyFormat::any_structured());
//! let authenticator = Authenticator::builder(Arc::new(MemoryStore::new()), verifier).build()?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let service = Service::new(authenticator, Settings::new()?);
//! service.serve(listener, keystile_serve::shutdown_signal()?).await?;
//! # Ok(()) }
//! ```
//!
//! - `POST /v1/verify` returns the decision about the key in its header, as JSON.
//! - `GET /v1/self` shows a key to its holder, and spends nothing.
//! - `/v1/authorize` authorizes requests for nginx, Traefik, Caddy and Envoy.
//! - `/v1/keys` is the admin API. It needs an admin key: [`first_admin_key`] issues the first
//!   one, and a key never grants more than it has.
//! - `/openapi.json` describes the whole API, and `/healthz`, `/readyz` and `/metrics` are for
//!   operators.
//!
//! [`Limits`] limits bodies, headers, connections and times, and [`Settings::invalid_keys`]
//! the invalid keys from one address. It serves plain HTTP/1: terminate TLS in front of it.

#![forbid(unsafe_code)]
#![allow(
    unused_qualifications,
    reason = "the macros of utoipa write types out in full"
)]

mod app;
mod authorize;
mod backend;
mod caller;
mod carried;
mod client;
mod damage_view;
mod decision_view;
mod describe;
mod explanation_view;
mod extract;
mod failed_response;
mod first_key;
mod health;
mod if_match;
mod keys;
mod nginx_answer;
mod original_request;
mod own_key;
mod preflight;
mod problem;
mod rfc3339;
mod router;
mod security;
mod server;
mod settings;
mod stop;
mod telemetry;
mod template_backend;
mod template_view;
mod templates;
mod text;
mod upgrade;
mod verify;
mod view;

pub use damage_view::{DamageView, DamagedKeyView};
pub use decision_view::DecisionView;
pub use explanation_view::ExplanationView;
pub use first_key::{ProposedAdminKey, first_admin_key};
pub use keystile::contains_key;
pub use rfc3339::{parse_rfc3339, rfc3339};
pub use server::Service;
pub use settings::{Limits, Settings};
pub use stop::shutdown_signal;
pub use template_view::TemplateView;
pub use view::{EventView, KeyView};
