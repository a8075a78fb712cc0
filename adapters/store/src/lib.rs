//! Where keystile keeps its records.
//!
//! The core of keystile decides and keeps nothing. This crate has the [`Store`] trait, a
//! store [in memory](MemoryStore), one [in a SQLite file](SqliteStore), and the verbs over
//! any of them: [`check`] a presented key, [`save_issued`], [`rotate`], [`suspend`],
//! [`resume`], [`revoke`].
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use keystile::{
//!     issue, DenialCode, IssueRequest, KeyFormat, PepperRing, Request, SysRng, UnixMillis,
//!     Verifier,
//! };
//! use keystile_store::{check, save_issued, revoke, MemoryStore};
//!
//! let store = MemoryStore::new(); // or SqliteStore::open("keystile.db")?, then migrate()
//! let format = KeyFormat::structured("acme")?;
//! let now = UnixMillis::new(1_790_000_000_000)?;
//!
//! // The key is shown once; the store gets its digest.
//! let request = IssueRequest::new("Acme Ltd")?.uses(2)?;
//! let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
//! save_issued(&store, &issued).await?;
//!
//! // A check finds the record, decides, and spends what is counted.
//! let verifier = Verifier::new(format);
//! let key = issued.key.expose().as_bytes();
//! let checked = check(&store, &verifier, key, &Request::new(), now).await?;
//! assert!(checked.decision.is_allow());
//! assert_eq!(checked.record.unwrap().remaining_uses, Some(1));
//!
//! // A revocation is the end, with a use left or not.
//! revoke(&store, &issued.record.id, "leaked in a log", now).await?;
//! let checked = check(&store, &verifier, key, &Request::new(), now).await?;
//! assert_eq!(checked.decision.denial().unwrap().code(), DenialCode::KeyRevoked);
//! # Ok::<(), keystile_store::StoreError>(())
//! # }).unwrap();
//! ```
//!
//! # What a store promises
//!
//! A change and its audit event are written together or not at all. A change that was
//! decided on an older record loses, and nothing leads back from a revocation. What is
//! spent is exchanged only over what was judged, so that clients at once share a limit
//! and do not multiply it. A store that fails, or holds a row that cannot be read, gives
//! an error and never a decision: answer such a request with
//! [`Cause::StoreUnavailable`](keystile::Cause::StoreUnavailable).
//!
//! An implementation of one's own shows that it keeps to this by the `conformance`
//! module.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `sqlite` | yes | [`SqliteStore`]; compiles the SQLite library |
//! | `postgres` | no | [`PostgresStore`], over tokio-postgres and deadpool |
//! | `postgres-tls` | no | TLS to the server by its URL, over rustls |
//! | `authenticator` | no | [`Authenticator`]: records cached in memory, for services on tokio |
//! | `conformance` | no | the suite that any store must pass, for tests |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "authenticator")]
mod authenticator;
mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row_reader;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod verbs;

#[cfg(feature = "authenticator")]
pub use authenticator::{Answer, Authenticator, AuthenticatorBuilder, AuthenticatorStats, Pending};
pub use check::{Checked, check};
pub use error::{CorruptRow, StoreError};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use store::{Batch, Filter, PAGE_MAX, Page, SpendRequest, Store};
pub use verbs::{record, resume, revoke, rotate, save_issued, suspend};
