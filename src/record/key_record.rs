//! What a store keeps about a key; never the key.

use alloc::boxed::Box;
use alloc::string::String;

use crate::error::{Error, ErrorKind};
use crate::key::digest::Digest;
use crate::key::id::KeyId;
use crate::key::label::{Environment, TemplateName};
use crate::policy::endpoint::EndpointRules;
use crate::policy::network::Networks;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::RateLimit;
use crate::record::derived_from::DerivedFrom;
use crate::record::invisible::is_invisible;
use crate::time::{Millis, UnixMillis};

/// Longest metadata in bytes.
pub const METADATA_BYTES_MAX: usize = 16 * 1_024;
/// Longest client name, e-mail address, owner or reason in bytes, as in the SQL table.
pub(crate) const TEXT_BYTES_MAX: usize = 255;
/// What is expected of a record's texts.
pub(crate) const CLIENT_NAME: &str =
    "a client name must be 1 to 255 bytes without control or invisible characters";
pub(crate) const EMAIL: &str =
    "an e-mail address must be at most 255 bytes without control or invisible characters";
pub(crate) const OWNER: &str =
    "an owner must be at most 255 bytes without control or invisible characters";
pub(crate) const REASON: &str =
    "a reason must be at most 255 bytes without control or invisible characters";
pub(crate) const METADATA: &str = "metadata must be at most 16 KiB";
/// Longest part of a key that may be shown: a prefix, an environment and four characters.
const KEY_PREFIX_BYTES_MAX: usize = 40;
/// The largest integer in SQL.
const VERSION_MAX: u64 = i64::MAX.unsigned_abs();

/// What a store keeps about a key.
///
/// Fields are plain values that a store fills from its columns. Each type accepts only
/// well-formed values; [`check`](Self::check) checks the rest.
///
/// `Debug` prints neither digest nor metadata. To show a record to people, use
/// [`public`](Self::public).
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// // From a store's columns:
/// let digest: Digest = issued.record.digest.to_string().parse()?;
/// let mut record = KeyRecord::new(issued.record.id, digest, "acme_1AbC", "Acme", now)?;
/// record.permissions = PermissionSet::new(["invoices:read"])?;
/// record.replaced_by = Some("1AbCdEfGhIjKlMnO".parse()?);
/// assert_eq!(record.check().unwrap_err().kind(), ErrorKind::Record, "its overlap has no end");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRecord {
    /// The public id.
    pub id: KeyId,
    /// The digest of the key's text.
    pub digest: Digest,
    /// The part of the key that may be shown: prefix, environment and the first 4
    /// characters of the id.
    pub key_prefix: Box<str>,
    /// The client's name, for people to read: 1 to 255 bytes.
    pub client_name: Box<str>,
    /// The address for notices.
    pub client_email: Option<Box<str>>,
    /// The account or tenant that the key belongs to. Lists can be restricted to it, and a
    /// derived key has the owner of its source.
    pub owner: Option<Box<str>>,
    /// The deployment that the key is for.
    pub environment: Option<Environment>,
    /// The permissions that it was granted.
    pub permissions: PermissionSet,
    /// The endpoints that it may be used for. `None`: any. An empty list: none.
    pub allowed_endpoints: Option<EndpointRules>,
    /// The networks that it may be used from. `None`: any. An empty list: none.
    pub allowed_networks: Option<Networks>,
    /// The rate limit. `None`: unlimited.
    pub rate_limit: Option<RateLimit>,
    /// Uses that were left when the record was read. `None`: not counted.
    pub remaining_uses: Option<u64>,
    /// The template that it was issued from.
    pub scope_type: Option<TemplateName>,
    /// The key that it was derived from, if there is one.
    pub derived_from: Option<DerivedFrom>,
    /// JSON text for the caller's use, at most 16 KiB; it is not parsed.
    pub metadata: Option<Box<str>>,
    /// When it was issued.
    pub created_at: UnixMillis,
    /// When it was last used, as far as is known.
    pub last_used_at: Option<UnixMillis>,
    /// The instant from which it is refused. `None`: never.
    pub expires_at: Option<UnixMillis>,
    /// The length of life that it was given, which a successor gets too. `None`: never ends, or
    /// not known; see [`lifetime_given`](Self::lifetime_given).
    pub lifetime: Option<Millis>,
    /// Whether it may be used at all.
    pub status: Status,
    /// The key whose suspension suspended this one, which is derived from it. It is resumed
    /// together with that key.
    pub suspended_with: Option<KeyId>,
    /// The id of the first key of its lineage; its own id if it has no predecessor. A
    /// lineage shares one rate limit and one count of uses.
    pub lineage: KeyId,
    /// The key that replaces it.
    pub replaced_by: Option<KeyId>,
    /// The instant from which a replaced key is refused.
    pub overlap_until: Option<UnixMillis>,
    /// The predecessor whose overlap ends when this key is first used.
    pub ends_at_first_use: Option<KeyId>,
    /// Incremented by each change; an update of an older version is rejected.
    pub version: u64,
}

/// Whether a key may be used at all.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// assert_eq!(issued.record.status, Status::Active);
/// let revoked = revoke(&issued.record, "leaked in a log", now)?.record;
/// assert_eq!(revoked.status.as_str(), "revoked");
/// assert!(matches!(revoked.status, Status::Revoked { at, .. } if at == now));
/// assert!(suspend(&revoked, now).is_err(), "a revocation is final");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It may be used.
    Active,
    /// It may not be used until it is resumed.
    Suspended,
    /// It may never be used again.
    Revoked {
        /// When it was revoked.
        at: UnixMillis,
        /// The reason, for the audit log: at most 255 bytes.
        reason: Box<str>,
    },
}

impl Status {
    /// The stable name that stores and logs use.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked { .. } => "revoked",
        }
    }
}

impl DerivedFrom {
    /// From the key of this record.
    #[must_use]
    pub const fn key(source: &KeyRecord) -> Self {
        Self::new(source.id, source.lineage)
    }
}

impl KeyRecord {
    /// An active key without permissions, limits, restrictions or expiry.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] as in [`check`](Self::check).
    pub fn new(
        id: KeyId,
        digest: Digest,
        key_prefix: &str,
        client_name: &str,
        created_at: UnixMillis,
    ) -> Result<Self, Error> {
        let record = Self {
            id,
            digest,
            key_prefix: key_prefix.into(),
            client_name: client_name.into(),
            client_email: None,
            owner: None,
            environment: None,
            permissions: PermissionSet::default(),
            allowed_endpoints: None,
            allowed_networks: None,
            rate_limit: None,
            remaining_uses: None,
            scope_type: None,
            derived_from: None,
            metadata: None,
            created_at,
            last_used_at: None,
            expires_at: None,
            lifetime: None,
            status: Status::Active,
            suspended_with: None,
            lineage: id,
            replaced_by: None,
            overlap_until: None,
            ends_at_first_use: None,
            version: 1,
        };
        record.check()?;
        Ok(record)
    }

    /// Checks that the texts are within their limits and that the fields agree with each
    /// other.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if one of them is not, or if they contradict each other.
    pub fn check(&self) -> Result<(), Error> {
        let text = |text: &str| text.len() <= TEXT_BYTES_MAX && !text.contains(is_control);
        let optional = |value: &Option<Box<str>>| value.as_deref().is_none_or(text);
        let (field, expected) = if self.client_name.is_empty() || !text(&self.client_name) {
            ("client_name", CLIENT_NAME)
        } else if !optional(&self.client_email) {
            ("client_email", EMAIL)
        } else if !optional(&self.owner) {
            ("owner", OWNER)
        } else if self.key_prefix.len() > KEY_PREFIX_BYTES_MAX || !text(&self.key_prefix) {
            (
                "key_prefix",
                "a key prefix must be at most 40 bytes without control characters",
            )
        } else if self
            .metadata
            .as_ref()
            .is_some_and(|json| json.len() > METADATA_BYTES_MAX)
        {
            ("metadata", METADATA)
        } else if matches!(&self.status, Status::Revoked { reason, .. } if !text(reason)) {
            ("reason", REASON)
        } else if self.replaced_by == Some(self.id) || self.ends_at_first_use == Some(self.id) {
            let expected = "replaced_by and ends_at_first_use must be ids of other keys";
            let replaced = self.replaced_by == Some(self.id);
            let field = if replaced {
                "replaced_by"
            } else {
                "ends_at_first_use"
            };
            (field, expected)
        } else if self.suspended_with == Some(self.id)
            || self.derived_from.is_some_and(|from| from.key_id == self.id)
        {
            let expected = "derived_from and suspended_with must be ids of other keys";
            let suspended = self.suspended_with == Some(self.id);
            let field = if suspended {
                "suspended_with"
            } else {
                "derived_from"
            };
            (field, expected)
        } else if self.replaced_by.is_some() != self.overlap_until.is_some() {
            (
                "overlap_until",
                "overlap_until must be set exactly when replaced_by is set",
            )
        } else if !(1..=VERSION_MAX).contains(&self.version) {
            ("version", "a version must be 1 to 9223372036854775807")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Record, expected).in_field(field))
    }

    /// The version after a change. A store could not keep one after the last.
    pub(crate) fn next_version(&self) -> Result<u64, Error> {
        let next = self.version.checked_add(1);
        next.filter(|next| *next <= VERSION_MAX).ok_or_else(|| {
            let expected = "a record must have a version below 9223372036854775807 to be changed";
            // Not of its state, which callers take for what the key already is.
            Error::new(ErrorKind::Record, expected).in_field("version")
        })
    }

    /// The instant from which the key is refused because it has expired or its overlap
    /// has ended.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixMillis> {
        match (self.expires_at, self.overlap_until) {
            (Some(expiry), Some(overlap)) => Some(expiry.min(overlap)),
            (one, other) => one.or(other),
        }
    }

    /// The length of life that the key was given: its [`lifetime`](Self::lifetime), or from its
    /// beginning to its expiry if that is not known. `None`: it never expires.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// let hour = Millis::from_hours(1);
    /// let request = IssueRequest::new("Acme")?.expires_in(hour)?;
    /// let mut record = issuer.issue(&request, &mut SysRng, now)?.record;
    /// record.lifetime = None; // as in a table that does not have it
    /// assert_eq!(record.lifetime_given(), Some(hour));
    /// record.expires_at = None;
    /// assert_eq!(record.lifetime_given(), None);
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn lifetime_given(&self) -> Option<Millis> {
        let end = self.expires_at?;
        Some(self.lifetime.unwrap_or(end.since(self.created_at)))
    }

    /// Whether the key is active, not expired and not past its overlap.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.status == Status::Active && self.ends_at().is_none_or(|end| now < end)
    }

    /// The record without its digest, for display.
    #[must_use]
    pub const fn public(&self) -> PublicRecord<'_> {
        PublicRecord(self)
    }
}

/// A record for display; it prints and serialises without the digest.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let shown = format!("{:?}", issued.record.public());
/// assert!(shown.contains("Acme"));
/// let digest = issued.record.digest.to_string();
/// assert!(!shown.contains(digest.trim_start_matches("sha256:")));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct PublicRecord<'r>(pub(crate) &'r KeyRecord);

impl core::fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.public().fmt(f)
    }
}

impl core::fmt::Debug for PublicRecord<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyRecord")
            .field("id", &self.0.id)
            .field("key_prefix", &self.0.key_prefix)
            .field("client_name", &self.0.client_name)
            .field("status", &self.0.status)
            .field("expires_at", &self.0.expires_at)
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}

/// Checks a reason or name that someone sets: within the length limit, on one line, and such
/// that a person reads what is there. Records that have invisible characters already are read.
pub(crate) fn short_text(
    text: &str,
    field: &'static str,
    expected: &'static str,
) -> Result<Box<str>, Error> {
    if text.len() > TEXT_BYTES_MAX || text.contains(|c| is_control(c) || is_invisible(c)) {
        return Err(Error::new(ErrorKind::Record, expected).in_field(field));
    }
    Ok(String::from(text).into())
}

/// Control characters in a client's name could forge lines of a log.
fn is_control(c: char) -> bool {
    c.is_control()
}
