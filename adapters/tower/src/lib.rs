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
//! - It reads a key from `X-API-Key` or `Authorization: Bearer`, and from another header or
//!   HTTP Basic if asked to. The query is never read.
//! - It decides by method and path *as they are dispatched to the service inside it*, and
//!   not by a header that names others. Put it on the whole router, or on its routes; inside
//!   of axum's `nest` the path is what is left of it.
//! - A request that passes carries a [`VerifiedKey`] in its extensions. The key's header is
//!   removed, so that no log and no upstream gets it. See
//!   [`keep_credential`](ApiKeyLayerBuilder::keep_credential).
//! - A refusal is JSON with a stable `code`, and does not reach the service. Its body has
//!   the service's own type, which must be `From<`[`Bytes`](bytes::Bytes)`>`: axum's `Body`
//!   is, and so is a `Full` of `http-body-util`. The response to an allowed request carries
//!   what is left of the rate limit, and when the key ends if it is being replaced.
//! - If the store is unavailable, the response is a 503, never an allow.
//!
//! # The client's address
//!
//! Keys that are restricted to networks, and the [limit on invalid keys](InvalidKeyLimit),
//! need the address of the peer. It is taken from a [`Connection`] in the request's
//! extensions, or from what [`connection_by`](ApiKeyLayerBuilder::connection_by) finds
//! there. No header is trusted unless the peer is one of the
//! [`trusted_proxies`](ApiKeyLayerBuilder::trusted_proxies).
//!
//! If no connection is found, invalid keys are not limited, and keys that are restricted to
//! networks are refused. The first request then logs a warning, with the feature `tracing`.
//!
//! # Events and metrics
//!
//! With the feature `tracing`, each decision is an event of the target `keystile`: `trace`
//! for an allow, `info` for a refusal, `warn` if the store is unavailable. It has `code` and
//! `cause`, and `key_id` once the secret was proved. With the feature `metrics`, decisions
//! are counted as `keystile_decisions_total` by `code`. Neither has any part of a key's
//! secret.
//!
//! # Features
//!
//! A service on axum sets `features = ["axum"]` for this crate. Without it, a function that
//! takes a [`VerifiedKey`] is not a handler: the compiler reports that the trait bound
//! `Handler<_, _>` is not satisfied, and does not name the feature. For PostgreSQL, it also
//! sets `features = ["authenticator", "postgres"]` for `keystile-store`.
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tracing` | yes | events |
//! | `axum` | no | [`VerifiedKey`] as an extractor, [`Rejection`] as its rejection |
//! | `basic` | no | keys as the user name of HTTP Basic |
//! | `metrics` | no | a counter of decisions |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod builder;
mod future;
mod guard;
mod layer;
mod require;
mod settings;
mod telemetry;
mod verified_key;

pub use builder::ApiKeyLayerBuilder;
pub use future::ResponseFuture;
pub use keystile_http::{Connection, InvalidKeyLimit, Rejection};
pub use layer::{ApiKeyLayer, ApiKeyService};
pub use require::{RequireFuture, RequireLayer, RequireService, require};
pub use verified_key::VerifiedKey;

/// The example of the README, so that it compiles.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
