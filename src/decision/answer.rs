//! The answer to a request: allowed, or refused and why.

use crate::key::id::KeyId;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::Quota;
use crate::policy::requirement::{Missing, Requirement};
use crate::time::{Millis, UnixMillis};

/// The answer to a request. It is plain data: `Copy`, and without any part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at guards nothing"]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Decision {
    /// The request may go on.
    Allow(Allowed),
    /// It may not.
    Deny(Denial),
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The denial, where there is one.
    #[must_use]
    pub const fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Allow(_) => None,
            Self::Deny(denial) => Some(denial),
        }
    }
}

/// Who was allowed, and what is left to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// The key's public id.
    pub key_id: KeyId,
    /// The version of the record that was judged.
    pub version: u64,
    /// The first key of its lineage, under which usage is kept.
    pub lineage: KeyId,
    /// What is left of the rate limit, where there is one.
    pub quota: Option<Quota>,
    /// Uses that are left, where they are counted.
    pub remaining_uses: Option<u64>,
    /// That the key is being replaced, where it is.
    pub notice: Option<Notice>,
    /// The predecessor whose overlap this use ends; see
    /// [`end_overlap`](crate::end_overlap).
    pub ends_overlap_of: Option<KeyId>,
    /// Whether the record should get a new digest; see [`rehash`](crate::rehash).
    pub needs_rehash: bool,
}

/// The key that was used has a successor, and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// The key that takes its place.
    pub replaced_by: KeyId,
    /// From when on this one is refused.
    pub until: UnixMillis,
}

/// A refusal.
///
/// [`code`](Self::code) is what the caller of a service may know. [`cause`](Self::cause)
/// tells more, and is for the audit alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    cause: Cause,
    key_id: Option<KeyId>,
    detail: Detail,
}

/// What a refusal says beyond its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    None,
    Missing(Missing),
    Limit(Quota),
}

/// Why a request was refused, in the detail that only an audit may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No credential was presented.
    MissingCredential,
    /// Two different credentials were presented.
    ConflictingCredentials,
    /// The text is no key: its shape or its check is wrong.
    Malformed,
    /// No record was found for it.
    UnknownKey,
    /// A record was found, and the secret is not its.
    WrongSecret,
    /// The record's digest was made under a pepper that the ring does not hold.
    PepperUnavailable,
    /// The key is revoked.
    Revoked,
    /// The key is suspended.
    Suspended,
    /// The key has expired.
    Expired,
    /// The key was replaced, and its overlap is over.
    Replaced,
    /// The key is for another environment.
    Environment,
    /// The peer's address is not within the key's networks.
    Network,
    /// The path is not canonical.
    PathNotCanonical,
    /// No endpoint rule of the key matches.
    Endpoint,
    /// The key lacks a permission.
    Permission,
    /// The rate limit is spent.
    RateLimit,
    /// The count of uses is spent.
    UsesSpent,
    /// The store could not be asked.
    StoreUnavailable,
}

/// Why a request was refused, as its sender may know it. The names never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialCode {
    /// `missing_credential`: no credential was presented.
    MissingCredential,
    /// `conflicting_credentials`: two different ones were.
    ConflictingCredentials,
    /// `invalid_key`: malformed, unknown or wrong; which of them is not told.
    InvalidKey,
    /// `key_revoked`
    KeyRevoked,
    /// `key_suspended`
    KeySuspended,
    /// `key_expired`
    KeyExpired,
    /// `key_replaced`
    KeyReplaced,
    /// `wrong_environment`
    WrongEnvironment,
    /// `network_not_allowed`
    NetworkNotAllowed,
    /// `path_not_canonical`
    PathNotCanonical,
    /// `endpoint_not_allowed`
    EndpointNotAllowed,
    /// `permission_missing`
    PermissionMissing,
    /// `rate_limited`
    RateLimited,
    /// `uses_spent`
    UsesSpent,
    /// `store_unavailable`
    StoreUnavailable,
}

impl Notice {
    /// The notice of a record: none unless it has a successor and an end.
    #[inline]
    pub(crate) fn of(replaced_by: Option<KeyId>, until: Option<UnixMillis>) -> Option<Self> {
        let (replaced_by, until) = (replaced_by?, until?);
        Some(Self { replaced_by, until })
    }

    /// A notice, for a language binding as [`Allowed::new`].
    #[must_use]
    pub const fn new(replaced_by: KeyId, until: UnixMillis) -> Self {
        Self { replaced_by, until }
    }
}

impl Allowed {
    /// A decision on this key that says nothing else, for a language binding to fill in
    /// what it keeps as plain numbers.
    #[must_use]
    pub const fn new(key_id: KeyId, lineage: KeyId) -> Self {
        Self {
            key_id,
            version: 0,
            lineage,
            quota: None,
            remaining_uses: None,
            notice: None,
            ends_overlap_of: None,
            needs_rehash: false,
        }
    }
}

impl Denial {
    /// A refusal from the plain numbers that a language binding keeps of one: its cause,
    /// key id, [`quota`](Self::quota) and [`missing_bits`](Self::missing_bits).
    #[must_use]
    pub const fn from_parts(
        cause: Cause,
        key_id: Option<KeyId>,
        quota: Option<Quota>,
        missing_bits: [u64; 2],
    ) -> Self {
        let detail = match (cause, quota) {
            (Cause::Permission, _) => Detail::Missing(Missing::from_halves(missing_bits)),
            (Cause::RateLimit, Some(quota)) => Detail::Limit(quota),
            _ => Detail::None,
        };
        Self {
            cause,
            key_id,
            detail,
        }
    }

    /// A refusal that has nothing to say but its cause.
    #[must_use]
    pub const fn new(cause: Cause) -> Self {
        Self {
            cause,
            key_id: None,
            detail: Detail::None,
        }
    }

    /// The refusal of a key whose grants do not meet a requirement, for one that is asked
    /// after the decision; nothing where they do.
    ///
    /// ```
    /// # use keystile::{Denial, PermissionSet, Requirement};
    /// let granted = PermissionSet::new(["read"])?;
    /// let id = "1AbCdEfGhIjKlMnO".parse()?;
    /// let both = Requirement::parse("read AND write")?;
    /// let denial = Denial::missing_from(&both, &granted, id).expect("it may not write");
    /// assert_eq!(denial.missing(&both).collect::<Vec<_>>(), ["write"]);
    /// let read = Requirement::parse("read")?;
    /// assert!(Denial::missing_from(&read, &granted, id).is_none());
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn missing_from(
        requirement: &Requirement,
        granted: &PermissionSet,
        key_id: KeyId,
    ) -> Option<Self> {
        let missing = requirement.check(granted.view())?;
        Some(Self::lacking(missing, key_id))
    }

    /// A refusal of a key whose secret was proved.
    pub(crate) const fn of(cause: Cause, key_id: KeyId) -> Self {
        let mut denial = Self::new(cause);
        denial.key_id = Some(key_id);
        denial
    }

    pub(crate) const fn lacking(missing: Missing, key_id: KeyId) -> Self {
        let mut denial = Self::of(Cause::Permission, key_id);
        denial.detail = Detail::Missing(missing);
        denial
    }

    pub(crate) const fn limited(quota: Quota, key_id: KeyId) -> Self {
        let mut denial = Self::of(Cause::RateLimit, key_id);
        denial.detail = Detail::Limit(quota);
        denial
    }

    /// What the sender may know.
    #[must_use]
    pub const fn code(&self) -> DenialCode {
        match self.cause {
            Cause::MissingCredential => DenialCode::MissingCredential,
            Cause::ConflictingCredentials => DenialCode::ConflictingCredentials,
            Cause::Malformed
            | Cause::UnknownKey
            | Cause::WrongSecret
            | Cause::PepperUnavailable => DenialCode::InvalidKey,
            Cause::Revoked => DenialCode::KeyRevoked,
            Cause::Suspended => DenialCode::KeySuspended,
            Cause::Expired => DenialCode::KeyExpired,
            Cause::Replaced => DenialCode::KeyReplaced,
            Cause::Environment => DenialCode::WrongEnvironment,
            Cause::Network => DenialCode::NetworkNotAllowed,
            Cause::PathNotCanonical => DenialCode::PathNotCanonical,
            Cause::Endpoint => DenialCode::EndpointNotAllowed,
            Cause::Permission => DenialCode::PermissionMissing,
            Cause::RateLimit => DenialCode::RateLimited,
            Cause::UsesSpent => DenialCode::UsesSpent,
            Cause::StoreUnavailable => DenialCode::StoreUnavailable,
        }
    }

    /// The cause, for the audit; do not show it to the sender.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// The key's id, once its secret was proved; before that, nothing is told.
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    /// The permissions that were missing, where that is why it was refused.
    ///
    /// `requirement` is the one that the request was judged by.
    pub fn missing<'q>(&self, requirement: &'q Requirement) -> impl Iterator<Item = &'q str> {
        let missing = match self.detail {
            Detail::Missing(missing) => missing,
            _ => Missing::default(),
        };
        requirement.named(missing)
    }

    /// Which terms of the requirement were missing, a bit each, for
    /// [`from_parts`](Self::from_parts).
    #[must_use]
    pub const fn missing_bits(&self) -> [u64; 2] {
        match self.detail {
            Detail::Missing(missing) => missing.halves(),
            _ => [0; 2],
        }
    }

    /// The time after which the rate limit would let one request pass, where that is why
    /// it was refused; none for a limit of 0.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        self.quota().and_then(Quota::retry_after)
    }

    /// What is left of the rate limit, where that is why it was refused.
    #[must_use]
    pub const fn quota(&self) -> Option<&Quota> {
        match &self.detail {
            Detail::Limit(quota) => Some(quota),
            _ => None,
        }
    }
}

impl DenialCode {
    /// The stable name, as it stands in JSON bodies, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::ConflictingCredentials => "conflicting_credentials",
            Self::InvalidKey => "invalid_key",
            Self::KeyRevoked => "key_revoked",
            Self::KeySuspended => "key_suspended",
            Self::KeyExpired => "key_expired",
            Self::KeyReplaced => "key_replaced",
            Self::WrongEnvironment => "wrong_environment",
            Self::NetworkNotAllowed => "network_not_allowed",
            Self::PathNotCanonical => "path_not_canonical",
            Self::EndpointNotAllowed => "endpoint_not_allowed",
            Self::PermissionMissing => "permission_missing",
            Self::RateLimited => "rate_limited",
            Self::UsesSpent => "uses_spent",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}
