//! One opaque error with a kind to match on; its text never repeats the input.

use core::fmt;

/// What went wrong, for code to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A prefix, environment, template or client name is not spelled as it must be.
    Name,
    /// A key format cannot do what was asked of it.
    Format,
    /// A key id is not one.
    KeyId,
    /// A stored digest or a pepper is not usable.
    Digest,
    /// A permission or a requirement is not spelled as it must be.
    Permission,
    /// An endpoint rule is not spelled as it must be.
    Endpoint,
    /// A network is not a CIDR block.
    Network,
    /// A rate limit cannot be represented.
    Limit,
    /// An instant, a duration or a lifetime is out of range.
    Time,
    /// A record contradicts itself, or a text in it is too long.
    Record,
    /// The key's state does not permit the change.
    State,
    /// More was asked for than the source of the grant holds.
    Exceeds,
    /// The source of randomness failed.
    Randomness,
}

/// Why a value could not be made or a change not be carried out.
///
/// The text says what was expected, in lower case and without a full stop. It never
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
