//! The API-key core that any service can embed.
//!
//! A caller brings bytes, a record and the time; the core answers with a [`Decision`].
//! It issues, verifies, authorizes and revokes API keys. It takes the time as an argument,
//! never looks anything up and holds no state: storage, clocks and sockets are the caller's.
//!
//! ```
//! use keystile::{
//!     DenialCode, IssueRequest, Issuer, KeyFormat, Request, Requirement, SysRng, UnixMillis, Usage,
//!     Verifier,
//! };
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let format = KeyFormat::structured("acme")?;
//! let issuer = Issuer::new(format.clone());
//! let verifier = Verifier::new(format);
//! let now = UnixMillis::new(1_790_000_000_000)?;
//!
//! // Issue: the key is shown once, the record is what a store keeps.
//! let request = IssueRequest::new("Acme Ltd")?.permissions(["invoices:read"])?;
//! let issued = issuer.issue(&request, &mut SysRng, now)?;
//!
//! // Verify: fetch the record and the usage for the presented key, and decide.
//! let (key, record) = (issued.key.expose().as_bytes(), Some(&issued.record));
//! let mut usage = Usage::of(&issued.record);
//! let read = Requirement::parse("invoices:read")?;
//! let request = Request::new().requires(&read);
//! assert!(verifier.verify(key, record, &request, &mut usage, now).is_allow());
//!
//! // A permission that the key lacks is refused, by name.
//! let write = Requirement::parse("invoices:write")?;
//! let request = Request::new().requires(&write);
//! let decision = verifier.verify(key, record, &request, &mut usage, now);
//! let denial = decision.denial().expect("the key may not write");
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
//! | `std` | yes | [`UnixMillis::now`], and run-time detection of fast CRC instructions |
//! | `getrandom` | yes | [`SysRng`], the operating system's randomness |
//! | `keyring` | no | [`Keyring`], records cached in memory for many threads; needs std |
//! | `basic` | no | keys as the user name of HTTP Basic |
//! | `serde` | no | records, policies and templates as serde values |

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
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
pub use decision::carriers::Carriers;
pub use decision::cause::Cause;
pub use decision::check_step::CheckStep;
pub use decision::credential::Credential;
pub use decision::credential_extractor::CredentialExtractor;
pub use decision::credential_sources::{CredentialSources, KEY_HEADERS_MAX, KEY_SCHEMES_MAX};
pub use decision::denial::Denial;
pub use decision::denial_code::DenialCode;
pub use decision::explain::{ExplainedCheck, Explanation, explain};
pub use decision::rate_limit_fields::RateLimitFields;
pub use decision::request::Request;
pub use decision::response::{Response, allowed_headers, respond};
pub use decision::response_policy::ResponsePolicy;
pub use decision::status_policy::StatusPolicy;
pub use decision::verifier::Verifier;
pub use decision::verify::verify;
pub use error::{Error, ErrorKind};
pub use key::checksum::{Checksum, ChecksumKey};
pub use key::contains_key::contains_key;
pub use key::digest::{Digest, DigestKind, PEPPERS_MAX, Pepper, PepperRing};
pub use key::format::{KEY_TEXT_BYTES_MAX, KeyFormat};
pub use key::id::KeyId;
pub use key::inspect::{Finding, Inspection, inspect};
pub use key::label::{Environment, Prefix, TemplateName};
pub use key::presented::{Candidates, Lookup, PresentedKey};
pub use key::text::ApiKey;
#[cfg(feature = "keyring")]
pub use keyring::{
    Check, Found, Grant, Keyring, KeyringBuilder, Leases, Stats, Ticket, TokenTicket, UnusedTokens,
    Use,
};
#[cfg(all(feature = "keyring", keystile_loom))]
pub use keyring::{Fault, plant};
pub use lifecycle::change::change;
pub use lifecycle::delegate::delegate;
pub use lifecycle::issue::{Issued, issue};
pub use lifecycle::issue_request::IssueRequest;
pub use lifecycle::issuer::Issuer;
pub use lifecycle::key_change::KeyChange;
pub use lifecycle::lifetime::LifetimePolicy;
pub use lifecycle::plan::{PlanAction, PlanItem, plan};
pub use lifecycle::rotate::{Rotated, end_overlap, rotate};
pub use lifecycle::rotation_policy::RotationPolicy;
pub use lifecycle::status::{Change, delete, expire, rehash, resume, revoke, suspend};
pub use policy::endpoint::{ENDPOINT_RULE_BYTES_MAX, ENDPOINT_RULES_MAX, EndpointRules};
pub use policy::method::is_method;
pub use policy::network::{NETWORKS_MAX, Networks};
pub use policy::never_matches::NeverMatches;
pub use policy::path::{PATH_BYTES_MAX, PathProfile, is_canonical_path};
pub use policy::permission::{PERMISSION_BYTES_MAX, PERMISSIONS_MAX, PermissionSet};
pub use policy::rate_limit::{Quota, RateLimit, RateLimited};
pub use policy::rate_state::RateState;
pub use policy::requirement::{REQUIREMENT_BYTES_MAX, REQUIREMENT_TERMS_MAX, Requirement};
pub use policy::template::ScopeTemplate;
pub use record::by::{By, UNSPECIFIED};
pub use record::derived_from::DerivedFrom;
pub use record::event::{Event, EventKind};
pub use record::field_change::FieldChange;
pub use record::key_record::{KeyRecord, METADATA_BYTES_MAX, PublicRecord, Status};
pub use record::usage::Usage;
pub use time::{Millis, UnixMillis};

#[cfg(feature = "getrandom")]
pub use getrandom::SysRng;
/// The traits of `rand_core` that a source of randomness implements.
pub use rand_core::{TryCryptoRng, TryRng};
