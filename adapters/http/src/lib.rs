//! What every HTTP front end does with an API key, without a framework.
//!
//! `keystile-tower` and `keystile serve` are built on it. Use it directly to write an
//! adapter for another framework: all it needs is an [`http::HeaderMap`], the method and
//! path, and the peer's address.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use keystile::{KeyFormat, StatusPolicy, UnixMillis, Verifier};
//! use keystile_http::{Client, Connection, Gate, RequestContext, ResponseHeaders};
//! use keystile_store::{Authenticator, MemoryStore};
//!
//! async fn handle(
//!     gate: &Gate<Authenticator<MemoryStore>>,
//!     connection: Connection,
//!     mut request: Request<()>,
//! ) -> Response<Bytes> {
//!     let client = Client::of(Some(connection), None, request.headers());
//!     let wanted = keystile::Request::new()
//!         .endpoint(request.method().as_str(), request.uri().path());
//!     let now = UnixMillis::now().expect("a clock that is set");
//!     let context = RequestContext::new(request.headers(), wanted, client.address, now);
//!     match gate.check(&context).await {
//!         Ok(passed) => {
//!             gate.credentials().remove(request.headers_mut(), passed.carriers);
//!             let mut response = Response::new(passed.record.client_name.to_string().into());
//!             ResponseHeaders::new(&passed.allowed, now).add_to(response.headers_mut());
//!             response
//!         }
//!         Err(denied) => denied.rejection(StatusPolicy::Rfc9110, None).into_response(),
//!     }
//! }
//!
//! let verifier = Verifier::new(KeyFormat::structured("acme")?);
//! let authenticator = Authenticator::builder(Arc::new(MemoryStore::new()), verifier).build()?;
//! let gate = Gate::new(authenticator);
//! let connection = Connection::plain("192.0.2.7".parse()?);
//!
//! let request = Request::get("/invoices").header("X-API-Key", "acme_invented").body(())?;
//! let refused = handle(&gate, connection, request).await;
//! assert_eq!(refused.status(), 401);
//! assert!(refused.body().starts_with(br#"{"error":"Invalid API key","#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The parts
//!
//! - [`Client`] is the client's address, and whether its connection is encrypted: by the
//!   connection, or by the headers of a trusted proxy.
//! - [`CredentialHeaders`] reads the key from the headers, and removes it from them.
//! - [`Gate`] decides: from memory if it can, otherwise with the store. It applies the
//!   [`InvalidKeyLimit`].
//! - [`Rejection`] is a refusal as a response with a JSON body, and [`ResponseHeaders`] are
//!   the fields that the response to an allowed request gets.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` | [`Rejection`] as a response of axum |
//! | `basic` | keys as the user name of HTTP Basic |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "axum")]
mod axum;
mod client_address;
mod credential;
mod error_chain;
mod gate;
mod invalid_key_limit;
mod key_checker;
mod outcome;
mod rejection;
mod request_context;
mod response_headers;
mod throttle;

pub use client_address::{Client, Connection};
pub use credential::CredentialHeaders;
pub use error_chain::ErrorChain;
pub use gate::Gate;
pub use invalid_key_limit::InvalidKeyLimit;
pub use key_checker::KeyChecker;
pub use outcome::{Denied, GateOutcome, Passed};
pub use rejection::Rejection;
pub use request_context::RequestContext;
pub use response_headers::ResponseHeaders;

/// The example of the README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
