//! The API-key core that any service can embed.
//!
//! It issues, verifies, authorizes and revokes API keys. A caller passes the presented
//! bytes, the stored record and the time, and gets a [`Decision`]. The core does no I/O,
//! reads no clock and keeps no state: storage, clocks and sockets belong to the caller.
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
//! It opens no socket, reads no clock and writes no log. It does not sign requests, and it
//! does not authenticate people. Only the optional [`Keyring`] keeps state or takes locks.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | run-time detection of fast CRC instructions |
//! | `getrandom` | yes | [`SysRng`], the operating system's randomness |
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
mod time;

mod key;
mod policy;
mod record;

mod decision;
mod lifecycle;

#[cfg(feature = "keyring")]
mod keyring;

pub use decision::allowed::{Allowed, Notice};
pub use decision::answer::Decision;
pub use decision::cause::Cause;
pub use decision::credential::{Credential, CredentialExtractor};
pub use decision::denial::Denial;
pub use decision::denial_code::DenialCode;
pub use decision::response::{Response, allowed_headers, respond};
pub use decision::status_policy::StatusPolicy;
pub use decision::verify::{Request, Verifier, verify};
pub use error::{Error, ErrorKind};
pub use key::checksum::{Checksum, ChecksumKey};
pub use key::digest::{Digest, DigestKind, PEPPERS_MAX, Pepper, PepperRing};
pub use key::format::{KEY_TEXT_BYTES_MAX, KeyFormat};
pub use key::id::KeyId;
pub use key::inspect::{Finding, Inspection, inspect};
pub use key::label::{Environment, Prefix, TemplateName};
pub use key::presented::{Candidates, Lookup, PresentedKey};
pub use key::text::ApiKey;
#[cfg(feature = "keyring")]
pub use keyring::{Check, Keyring, KeyringBuilder, Stats, Ticket, Use};
#[cfg(all(feature = "keyring", keystile_loom))]
pub use keyring::{Fault, plant};
pub use lifecycle::delegate::delegate;
pub use lifecycle::issue::{IssueRequest, Issued, issue};
pub use lifecycle::plan::{PlanAction, PlanItem, plan};
pub use lifecycle::rotate::{Rotated, RotationPolicy, end_overlap, rotate};
pub use lifecycle::status::{Change, expire, rehash, resume, revoke, suspend};
pub use policy::endpoint::{ENDPOINT_RULE_BYTES_MAX, ENDPOINT_RULES_MAX, EndpointRules};
pub use policy::network::{NETWORKS_MAX, Networks};
pub use policy::path::{PATH_BYTES_MAX, is_canonical_path};
pub use policy::permission::{PERMISSION_BYTES_MAX, PERMISSIONS_MAX, PermissionSet};
pub use policy::rate_limit::{Quota, RateLimit, RateState, Refused};
pub use policy::requirement::{REQUIREMENT_BYTES_MAX, REQUIREMENT_TERMS_MAX, Requirement};
pub use policy::template::ScopeTemplate;
pub use record::event::{Event, EventKind};
pub use record::key_record::{KeyRecord, METADATA_BYTES_MAX, PublicRecord, Status};
pub use record::usage::Usage;
pub use time::{Millis, UnixMillis};

/// The example of the README, so that it compiles.
#[cfg(all(doctest, feature = "getrandom"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "getrandom")]
pub use getrandom::SysRng;
/// The traits of `rand_core` that a source of randomness implements.
pub use rand_core::{TryCryptoRng, TryRng};
