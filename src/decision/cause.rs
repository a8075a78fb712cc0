//! Why a request was refused, in the detail that only an audit may see.

use crate::decision::denial_code::DenialCode;

/// Why a request was refused, in the detail that only an audit may see.
///
/// ```
/// use keystile::{Cause, Denial, DenialCode};
/// let unknown = Denial::new(Cause::UnknownKey);
/// let wrong = Denial::new(Cause::WrongSecret);
/// assert_ne!(unknown.cause(), wrong.cause(), "the audit can distinguish them");
/// assert_eq!(unknown.code(), DenialCode::InvalidKey);
/// assert_eq!(wrong.code(), DenialCode::InvalidKey, "the sender cannot");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// No credential was presented.
    MissingCredential,
    /// Two different credentials were presented.
    ConflictingCredentials,
    /// The text is not a key: its shape or its check is wrong.
    Malformed,
    /// There are only texts that do not have the shape of a key of the service, and none in a
    /// header that carries nothing but keys: they may be meant for someone else.
    Alien,
    /// No record was found for it.
    UnknownKey,
    /// A record was found, and the secret is not that record's.
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
    /// The store is unavailable.
    StoreUnavailable,
    /// The store has a record of the key, and it cannot be read.
    RecordDamaged,
}

impl Cause {
    /// What the sender of the request may know of it.
    pub(crate) const fn code(self) -> DenialCode {
        match self {
            Self::MissingCredential => DenialCode::MissingCredential,
            Self::ConflictingCredentials => DenialCode::ConflictingCredentials,
            Self::Malformed | Self::Alien | Self::UnknownKey | Self::WrongSecret => {
                DenialCode::InvalidKey
            }
            Self::PepperUnavailable => DenialCode::PepperUnavailable,
            Self::Revoked => DenialCode::KeyRevoked,
            Self::Suspended => DenialCode::KeySuspended,
            Self::Expired => DenialCode::KeyExpired,
            Self::Replaced => DenialCode::KeyReplaced,
            Self::Environment => DenialCode::WrongEnvironment,
            Self::Network => DenialCode::NetworkNotAllowed,
            Self::PathNotCanonical => DenialCode::PathNotCanonical,
            Self::Endpoint => DenialCode::EndpointNotAllowed,
            Self::Permission => DenialCode::PermissionMissing,
            Self::RateLimit => DenialCode::RateLimited,
            Self::UsesSpent => DenialCode::UsesSpent,
            Self::StoreUnavailable => DenialCode::StoreUnavailable,
            Self::RecordDamaged => DenialCode::RecordDamaged,
        }
    }
}
