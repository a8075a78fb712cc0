//! The API-key core that any service can embed.
//!
//! A caller brings bytes, a record and the time; the core answers with a [`Decision`].
//! It issues keys, recognises them, decides what they may do, and ends them. It never
//! learns the time, never looks anything up and keeps nothing: storage, clocks and
//! sockets stand outside and call in.
//!
//! ```
//! use keystile::{
//!     issue, verify, Decision, DenialCode, IssueRequest, KeyFormat, PepperRing, Request,
//!     Requirement, SysRng, UnixMillis, Usage, Verifier,
//! };
//! # fn main() -> Result<(), keystile::Error> {
//! let format = KeyFormat::structured("acme")?;
//! let now = UnixMillis::new(1_790_000_000_000)?;
//!
//! // Issue: the key is shown once, the record is what a store keeps.
//! let request = IssueRequest::new("Acme Ltd")?
//!     .environment("live")?
//!     .permissions(["invoices:read"])?;
//! let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
//!
//! // Verify: parse, fetch the record by `key.lookup()`, decide.
//! let verifier = Verifier::new(format);
//! let mut usage = Usage::of(&issued.record);
//! let read = Requirement::parse("invoices:read")?;
//! let key = verifier.parse(issued.key.expose().as_bytes()).expect("well formed");
//! let may = Request::new().requires(&read);
//! let allowed = verify(&verifier, &key, Some(&issued.record), &may, &mut usage, now);
//! assert!(matches!(allowed, Decision::Allow(_)));
//!
//! // A permission that the key lacks is refused, by name.
//! let write = Requirement::parse("invoices:write")?;
//! let may = Request::new().requires(&write);
//! let Decision::Deny(denial) = verify(&verifier, &key, Some(&issued.record), &may, &mut usage, now)
//! else { panic!("granted a permission that the key lacks") };
//! assert_eq!(denial.code(), DenialCode::PermissionMissing);
//! assert_eq!(denial.missing(&write).collect::<Vec<_>>(), ["invoices:write"]);
//! # Ok(()) }
//! ```
//!
//! # What it does not do
//!
//! It opens no socket, reads no clock, writes no log and holds no lock. It does not
//! sign requests, and it does not authenticate people.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | run-time detection of fast CRC instructions |
//! | `getrandom` | yes | [`SysRng`], the operating system's randomness |
//! | `network` | yes | [`Networks`], CIDR allow-lists |
//! | `keyring` | no | [`Keyring`], records cached in memory for many threads; needs std |
//! | `basic` | no | keys as the user name of HTTP Basic |
//! | `serde` | no | records, policies and templates as serde values |

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "keyring")]
extern crate std;

mod error;
mod sha256;
mod time;

mod base62;
mod checksum;

mod api_key;
mod key_id;

mod digest;
mod format;

mod endpoint;
mod label;
mod limit;
#[cfg(feature = "network")]
mod network;
mod path;
mod permission;
mod requirement;
mod template;
mod usage;

mod record;
#[cfg(feature = "serde")]
mod record_serde;

mod credential;
mod decision;
mod delegate;
mod event;
mod inspect;
mod issue;
mod lifecycle;
mod plan;
mod response;
mod rotate;
mod verify;

#[cfg(feature = "keyring")]
mod keyring;

pub use api_key::ApiKey;
pub use checksum::{Checksum, ChecksumKey};
pub use credential::{Credential, CredentialRules};
pub use decision::{Allowed, Cause, Decision, Denial, DenialCode, Notice};
pub use delegate::delegate;
pub use digest::{Digest, DigestKind, PEPPERS_MAX, Pepper, PepperRing};
pub use endpoint::{ENDPOINT_RULE_BYTES_MAX, ENDPOINT_RULES_MAX, EndpointRules};
pub use error::{Error, ErrorKind};
pub use event::{Event, EventKind};
pub use format::{Candidates, KEY_TEXT_BYTES_MAX, KeyFormat, Lookup, PresentedKey};
pub use inspect::{Inspection, Verdict, inspect};
pub use issue::{IssueRequest, Issued, issue};
pub use key_id::KeyId;
#[cfg(feature = "keyring")]
pub use keyring::{Check, Keyring, KeyringBuilder, Stats, Ticket, Use};
#[cfg(all(feature = "keyring", keystile_loom))]
pub use keyring::{Fault, plant};
pub use label::{Environment, Prefix, TemplateName};
pub use lifecycle::{Change, expire, rehash, resume, revoke, suspend};
pub use limit::{Quota, RateLimit, RateState, Refused};
#[cfg(feature = "network")]
pub use network::{NETWORKS_MAX, Networks};
pub use path::{PATH_BYTES_MAX, is_canonical_path};
pub use permission::{PERMISSION_BYTES_MAX, PERMISSIONS_MAX, PermissionSet};
pub use plan::{Due, DueAction, plan};
pub use record::{KeyRecord, METADATA_BYTES_MAX, PublicRecord, Status};
pub use requirement::{REQUIREMENT_BYTES_MAX, REQUIREMENT_TERMS_MAX, Requirement};
pub use response::{Response, StatusPolicy, allowed_headers, respond};
pub use rotate::{Rotated, RotationPolicy, end_overlap, rotate};
pub use template::ScopeTemplate;
pub use time::{Millis, UnixMillis};
pub use usage::Usage;
pub use verify::{Request, Verifier, verify};

/// The example of the README, so that it compiles.
#[cfg(all(doctest, feature = "getrandom"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "getrandom")]
pub use getrandom::SysRng;
/// The traits of `rand_core` that a source of randomness implements.
pub use rand_core::{TryCryptoRng, TryRng};
