//! Stores keystile's records in memory, SQLite or PostgreSQL.
//!
//! The core of keystile decides and holds no state. This crate has the [`Store`] trait, a
//! store [in memory](MemoryStore), one [in a SQLite file](SqliteStore), one on a PostgreSQL
//! server (`PostgresStore`, with the feature `postgres`), and functions that work with any
//! store: [`check`] a presented key, [`save_issued`], [`rotate`], [`suspend`], [`resume`],
//! [`revoke`].
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
//! // The key is shown once; the store keeps its digest.
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
//! // A revocation is final, even if a use remains.
//! revoke(&store, &issued.record.id, "leaked in a log", now).await?;
//! let checked = check(&store, &verifier, key, &Request::new(), now).await?;
//! assert_eq!(checked.decision.denial().unwrap().code(), DenialCode::KeyRevoked);
//! # Ok::<(), keystile_store::StoreError>(())
//! # }).unwrap();
//! ```
//!
//! # What a store guarantees
//!
//! A change and its audit event are written together or not at all. A change that is based
//! on an older record fails, and nothing undoes a revocation. Usage is replaced only if it is
//! still the usage of the decision, so that concurrent clients share a limit and do not
//! multiply it.
//!
//! If the store fails, a check returns an error: answer the request with
//! [`Cause::StoreUnavailable`](keystile::Cause::StoreUnavailable). If the key's row cannot be
//! read, the decision is a denial with [`Cause::RecordDamaged`](keystile::Cause::RecordDamaged).
//! One damaged row costs one row: lists go on and name it, and it can be revoked and suspended
//! by the key's id.
//!
//! Test a custom implementation with the `conformance` module.
//!
//! # Features
//!
//! Without features, there is the trait and [`MemoryStore`]. A service over PostgreSQL sets
//! `features = ["authenticator", "postgres"]`, one over SQLite `["authenticator", "sqlite"]`.
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `sqlite` | no | [`SqliteStore`]; compiles the SQLite library |
//! | `postgres` | no | [`PostgresStore`], over tokio-postgres and deadpool |
//! | `postgres-tls` | no | TLS to the server, set in its URL, over rustls |
//! | `authenticator` | no | [`Authenticator`]: records cached in memory, for services on tokio |
//! | `portable` | with `sqlite` and `postgres` | [`Importer`], and records as lines of text |
//! | `conformance` | no | the test suite that any store must pass |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod acting;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod adoption;
#[cfg(feature = "authenticator")]
mod authenticator;
mod batch;
mod bulk;
mod bulk_change;
mod cascade;
mod change;
mod check;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod columns;
#[cfg(feature = "conformance")]
pub mod conformance;
mod damaged;
mod delegate;
mod delete;
mod derived;
mod error;
mod event_filter;
mod explain;
mod family;
mod filter;
mod former_template;
#[cfg(all(test, feature = "sqlite", feature = "postgres"))]
mod guards;
mod held;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod instant;
mod issue_once;
mod limits;
mod list;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod list_page;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod list_plan;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod list_statement;
mod memory;
mod outcome;
mod peppers;
mod portable;
#[cfg(feature = "postgres")]
mod postgres;
mod prune;
mod rotate;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row_reader;
mod sort;
mod spend_request;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod statement;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod statements;
mod store;
mod stored_usage;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod tables;
mod template;
mod template_keys;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod template_row;
mod template_verbs;
mod template_version;
mod verbs;
#[cfg(feature = "authenticator")]
mod wake;

pub use acting::ActingStore;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use adoption::{
    AdoptOptions, AdoptionPlan, AdoptionProgress, AdoptionRefusal, AdoptionStep, Findings,
    MetadataEndpoints, TableProblem,
};
#[cfg(feature = "authenticator")]
pub use authenticator::{
    AfterBound, Answer, Authenticator, AuthenticatorBuilder, AuthenticatorStats, Pending,
};
pub use batch::{Batch, Upkeep, UpkeepField};
pub use bulk::{BulkEnded, Selection};
pub use bulk_change::can_change;
pub use cascade::{
    Ended, Permit, resume_reaching, revoke_if, revoke_reaching, suspend_if, suspend_reaching,
};
pub use change::{change, change_derived, change_if, would_change};
pub use check::{Checked, check};
pub use delegate::delegate;
pub use delete::{count_ended_before, delete, delete_if, prune_keys};
pub use derived::{
    DERIVED_DEPTH_MAX, DERIVED_KEYS_MAX, DerivedProblem, DerivedState, OfDerived, Reach,
};
pub use error::{CorruptRow, StoreError, UnavailableKind};
pub use event_filter::EventFilter;
pub use explain::{Explained, check_dry, explain};
pub use filter::{Filter, KeyStatus};
pub use former_template::FormerTemplate;
pub use issue_once::{
    IDEMPOTENCY_KEY_BYTES_MAX, IssueAnswer, IssueNote, IssueOnce, Once, REQUEST_REMEMBERED_FOR,
    issue_once,
};
pub use limits::{
    Limits, LimitsFuture, LineageRates, MemoryLimits, Rest, StoredLimits, Take, Taken,
};
pub use list::{Cursor, Listed, ListedEvents, PAGE_MAX, Page};
#[cfg(all(feature = "conformance", any(feature = "sqlite", feature = "postgres")))]
#[doc(hidden)]
pub use list_statement::plans as list_plans;
pub use memory::MemoryStore;
pub use outcome::Outcome;
pub use peppers::{MissingPepper, missing_peppers};
pub use portable::{
    Asked, DigestBytes, Exported, Imported, Known, PortableKey, RemovedKey, RemovedKeys,
};
#[cfg(feature = "portable")]
pub use portable::{
    ExportEnd, IMPORT_LINES_MAX, Importer, LINE_BYTES_MAX, LineProblem, LineReport, LineResult,
    PortableLine,
};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
pub use prune::{count_events_before, prune_events};
pub use rotate::rotate;
pub use sort::Sort;
#[cfg(feature = "sqlite")]
pub use sqlite::{CopyProgress, RestoreOptions, Restored, SqliteStore};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use statement::Statement;
pub use store::{SpendRequest, Store};
pub use stored_usage::{RateNote, StoredUsage};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use tables::Tables;
pub use template::{
    DamagedTemplate, FORMER_TEMPLATES_MAX, ListedTemplates, StoredTemplate, TEMPLATES_PAGE_MAX,
    TemplateProblem,
};
pub use template_keys::TemplateKeys;
pub use template_verbs::{add_template, change_template, find_template, remove_template};
pub use template_version::TemplateVersion;
pub use verbs::{record, resume, revoke, save_issued, suspend};
#[cfg(feature = "authenticator")]
pub use wake::Wake;

/// The example of the README, so that it compiles.
#[cfg(all(doctest, feature = "authenticator"))]
#[doc = include_str!("../README.md")]
struct Readme;
