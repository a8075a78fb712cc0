//! API keys for [tower](tower_service) services: a layer, and extractors for axum.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use axum::{Router, routing::{get, post}};
//! use keystile::{KeyFormat, Verifier};
//! use keystile_store::{Authenticator, MemoryStore};
//! use keystile_tower::{VerifiedKey, ApiKeyLayer};
//!
//! async fn profile(key: VerifiedKey) -> String {
//!     format!("hello, {}", key.client_name())
//! }
//!
//! let verifier = Verifier::new(KeyFormat::structured("acme")?);
//! let store = Arc::new(MemoryStore::new());
//! let authenticator = Authenticator::builder(store, verifier).build()?;
//! let keys = ApiKeyLayer::new(authenticator);
//! let app: Router = Router::new()
//!     .route("/api/profile", get(profile).layer(keys.clone()))
//!     .route("/api/data", post(profile).layer(keys.requires("write")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # What it does with a request
//!
//! - It reads a key from `X-API-Key` or `Authorization: Bearer`, and from another header
//!   or HTTP Basic where told to. The query is never read.
//! - It decides by method and path *as they are dispatched to the service that it wraps*,
//!   and by nothing that a header says they are. Put it on the whole router, or on its
//!   routes; inside of axum's `nest` the path is what is left of it.
//! - A request that may pass carries an [`VerifiedKey`] among its extensions, and the key
//!   itself no more: the header is taken off, so that no log and no upstream gets it. See
//!   [`keep_credential`](ApiKeyLayerBuilder::keep_credential).
//! - A refusal is JSON with a stable `code`, and does not reach the service. Its body is of
//!   the service's own type, which is made of [`Bytes`](bytes::Bytes): so is axum's `Body`,
//!   or a `Full` of `http-body-util`. The response
//!   to an allowed request says what is left of the rate limit, and when the key ends if
//!   it is being replaced.
//! - A store that cannot be asked makes a 503, never an allow.
//!
//! # The client's address
//!
//! Keys that are bound to networks, and the [bound on invalid_keys](InvalidKeyLimit), need the
//! address of the peer. It is taken from a [`Connection`] among the request's extensions,
//! or from what [`connection_by`](ApiKeyLayerBuilder::connection_by) finds there. No header
//! is believed unless the peer is one of the
//! [`trusted_proxies`](ApiKeyLayerBuilder::trusted_proxies).
//!
//! # Events and metrics
//!
//! With the feature `tracing`, each decision is an event of the target `keystile`: `trace`
//! for an allow, `info` for a refusal, `warn` where the store failed; with `code`, `cause`
//! and `key_id`, once the secret was proved. With the feature `metrics`, they are counted as
//! `keystile_decisions_total` by `code`. Neither ever has any part of a key's secret.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tracing` | yes | events |
//! | `axum` | no | [`VerifiedKey`] as an extractor, [`Rejection`] as a rejection |
//! | `basic` | no | keys as the user name of HTTP Basic |
//! | `metrics` | no | a counter of decisions |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod builder;
mod connection;
mod future;
mod guard;
mod identity;
mod invalid_keys;
mod layer;
mod rejection;
mod require;
mod telemetry;
mod told;

pub use builder::ApiKeyLayerBuilder;
pub use connection::Connection;
pub use future::ResponseFuture;
pub use identity::VerifiedKey;
pub use invalid_keys::InvalidKeyLimit;
pub use layer::{ApiKeyLayer, ApiKeyService};
pub use rejection::Rejection;
pub use require::{RequireFuture, RequireLayer, RequireService, require};
