//! One opaque error with a kind to match on; its text never repeats the input.

use core::fmt;

/// The kind of an [`Error`], for code to match on.
///
/// ```
/// use keystile::{ErrorKind, PermissionSet};
/// let advice = match PermissionSet::new(["read", "two words"]).map_err(|error| error.kind()) {
///     Ok(_) => "granted",
///     Err(ErrorKind::Permission) => "a permission is malformed",
///     Err(_) => "another error",
/// };
/// assert_eq!(advice, "a permission is malformed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A prefix, environment, template or header name is malformed.
    Name,
    /// A key format does not support what was asked of it.
    Format,
    /// A key id is malformed.
    KeyId,
    /// A stored digest is malformed, or a pepper cannot be used.
    Digest,
    /// A permission or a requirement is malformed.
    Permission,
    /// An endpoint rule is malformed.
    Endpoint,
    /// A network is neither an address nor a CIDR block.
    Network,
    /// A rate limit, count of uses, capacity or TTL is out of its range.
    Limit,
    /// An instant, a duration or a lifetime is out of range.
    Time,
    /// A record contradicts itself, or a text in it, such as the client's name, is malformed.
    Record,
    /// The key's state does not allow the change.
    State,
    /// A grant would exceed the template or key that it is made from.
    Exceeds,
    /// The source of randomness failed.
    Randomness,
}

/// Why a value could not be created or a change could not be made.
///
/// The text states what was expected, in lower case and without a full stop. It never
/// contains any part of the input, so it is safe to log.
///
/// ```
/// use keystile::{ErrorKind, KeyFormat};
/// let error = KeyFormat::structured("Acme").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Name);
/// assert!(!error.to_string().contains("Acme"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    expected: &'static str,
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind, expected: &'static str) -> Self {
        Self { kind, expected }
    }

    /// The kind to match on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text that [`Display`](fmt::Display) prints, without an allocation.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
}

impl core::error::Error for Error {}
