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
/// The text states what was expected, in lower case and without a full stop, after the field and
/// the index of the item in its list, if they are known. It never contains any part of the
/// input, so it is safe to log.
///
/// ```
/// use keystile::{ErrorKind, KeyFormat};
/// let error = KeyFormat::structured("Acme").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Name);
/// assert!(!error.to_string().contains("Acme"));
///
/// let error = keystile::PermissionSet::new(["read", "inv*"]).unwrap_err();
/// assert_eq!((error.field(), error.index()), (Some("permissions"), Some(1)));
/// assert!(error.to_string().starts_with("permissions[1]: a permission must be segments"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    expected: &'static str,
    field: Option<&'static str>,
    /// Small, because every `Result` has room for it.
    index: u32,
}

const NO_INDEX: u32 = u32::MAX;

impl Error {
    pub(crate) const fn new(kind: ErrorKind, expected: &'static str) -> Self {
        Self {
            kind,
            expected,
            field: None,
            index: NO_INDEX,
        }
    }

    /// The same error, of this field: for a caller that knows better which one it is of.
    ///
    /// ```
    /// let error = keystile::UnixMillis::new(7).unwrap_err().in_field("expires_at");
    /// assert!(error.to_string().starts_with("expires_at: an instant must be"));
    /// ```
    #[must_use]
    pub const fn in_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// The same error, of the item with this index in a list.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.index = u32::try_from(index).unwrap_or(NO_INDEX);
        self
    }

    /// The kind to match on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was expected: the text that [`Display`](fmt::Display) prints, without the field and
    /// the index.
    #[must_use]
    pub const fn message(&self) -> &'static str {
        self.expected
    }

    /// The name of the field that is wrong, as this crate and its JSON name it, such as
    /// `client_name` or `rate_limit.window`; `None` if it is not of one field.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// The index of the item that is wrong, from 0, if the field is a list and it is of one item.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        let index = usize::try_from(self.index).ok();
        index.filter(|_| self.index != NO_INDEX)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.field, self.index()) {
            (Some(field), Some(index)) => write!(f, "{field}[{index}]: ")?,
            (Some(field), None) => write!(f, "{field}: ")?,
            (None, Some(index)) => write!(f, "item {index}: ")?,
            (None, None) => {}
        }
        f.write_str(self.expected)
    }
}

impl core::error::Error for Error {}
