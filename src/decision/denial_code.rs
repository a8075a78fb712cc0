//! The stable codes of denials: the one table of their names, texts and statuses.

use crate::decision::status_policy::StatusPolicy;

/// Why a request was refused, as its sender may know it. The names never change.
///
/// ```
/// use keystile::{DenialCode, StatusPolicy};
/// let code = DenialCode::RateLimited;
/// assert_eq!(code.as_str(), "rate_limited");
/// assert_eq!(code.title(), "Too many requests");
/// assert_eq!(code.message(), "The rate limit of the API key is spent; try again later.");
/// assert_eq!(code.status(StatusPolicy::Rfc9110), 429);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DenialCode {
    /// `missing_credential`: no credential was presented.
    MissingCredential,
    /// `conflicting_credentials`: two different ones were.
    ConflictingCredentials,
    /// `invalid_key`: malformed, unknown or wrong; which of them is not disclosed.
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
    /// `pepper_unavailable`: whether the key is valid cannot be known.
    PepperUnavailable,
    /// `record_damaged`: the stored record of the key cannot be read. To try again is of no use.
    RecordDamaged,
}

impl DenialCode {
    /// The stable name, as JSON bodies, logs and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// A short name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().title
    }

    /// What the sender can do about it.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.row().message
    }

    /// The HTTP status under a policy.
    #[must_use]
    pub const fn status(self, policy: StatusPolicy) -> u16 {
        match policy {
            StatusPolicy::Rfc9110 => self.row().rfc9110,
            StatusPolicy::Express => self.row().express,
        }
    }

    /// The table. JSON bodies are written without escaping, so no text here may hold a
    /// quotation mark, a backslash or a control character.
    #[rustfmt::skip]
    const fn row(self) -> Row {
        match self {
            Self::MissingCredential => row("missing_credential", "API key required",
                "Send an API key in the X-API-Key header or as a Bearer token.", 401, 401),
            Self::ConflictingCredentials => row("conflicting_credentials", "Conflicting API keys",
                "The request carries two different API keys; send one.", 400, 401),
            Self::InvalidKey => row("invalid_key", "Invalid API key",
                "The API key is not valid; check that it was copied whole.", 401, 403),
            Self::KeyRevoked => row("key_revoked", "API key revoked",
                "The API key was revoked; ask for a new one.", 401, 403),
            Self::KeySuspended => row("key_suspended", "API key suspended",
                "The API key is suspended; ask its issuer.", 401, 403),
            Self::KeyExpired => row("key_expired", "API key expired",
                "The API key has expired; ask for a new one.", 401, 403),
            Self::KeyReplaced => row("key_replaced", "API key replaced",
                "The API key was replaced; use its successor.", 401, 403),
            Self::WrongEnvironment => row("wrong_environment", "Wrong environment",
                "The API key belongs to another environment.", 403, 403),
            Self::NetworkNotAllowed => row("network_not_allowed", "Network not allowed",
                "The API key may not be used from this network.", 403, 403),
            Self::PathNotCanonical => row("path_not_canonical", "Path not canonical",
                "The path contains empty or dot segments, or unnecessary percent-encoding.", 403, 403),
            Self::EndpointNotAllowed => row("endpoint_not_allowed", "Endpoint not allowed",
                "The API key may not be used for this method and path.", 403, 403),
            Self::PermissionMissing => row("permission_missing", "Insufficient permissions",
                "The API key lacks a permission that this needs.", 403, 403),
            Self::RateLimited => row("rate_limited", "Too many requests",
                "The rate limit of the API key is spent; try again later.", 429, 429),
            Self::UsesSpent => row("uses_spent", "No uses left",
                "The API key has no uses left.", 429, 429),
            Self::StoreUnavailable => row("store_unavailable", "Key check unavailable",
                "API keys cannot be checked at the moment; try again later.", 503, 503),
            Self::PepperUnavailable => row("pepper_unavailable", "Key check unavailable",
                "This API key cannot be checked: the service lacks a secret that it needs.", 503, 503),
            Self::RecordDamaged => row("record_damaged", "Key check failed",
                "This API key cannot be checked: its stored record is damaged; ask its issuer.", 500, 500),
        }
    }
}

/// What belongs to one code.
struct Row {
    name: &'static str,
    title: &'static str,
    message: &'static str,
    rfc9110: u16,
    express: u16,
}

const fn row(
    name: &'static str,
    title: &'static str,
    message: &'static str,
    rfc9110: u16,
    express: u16,
) -> Row {
    Row {
        name,
        title,
        message,
        rfc9110,
        express,
    }
}
