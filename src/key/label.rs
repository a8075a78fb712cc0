//! Short names that become part of a key's text or of a record.

use alloc::boxed::Box;
use core::fmt;

use crate::error::{Error, ErrorKind};

/// A short name stored inline: no allocation, cheap to copy and compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Short<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Short<N> {
    fn new(text: &str) -> Option<Self> {
        let len = u8::try_from(text.len()).ok()?;
        let mut bytes = [0; N];
        bytes
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        Some(Self { bytes, len })
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// The start of a key's text, by which people and secret scanners recognise it:
/// `[a-z][a-z0-9_]{0,15}`, not ending in `_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Short<16>);

/// The deployment that a key is for, such as `live` or `test`: `[a-z0-9]{1,12}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Environment(Short<12>);

/// A template's name: `[a-z][a-z0-9_-]{0,31}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateName(Box<str>);

impl Prefix {
    /// Creates a prefix.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if the text is not a valid prefix.
    ///
    /// # Examples
    /// ```
    /// use keystile::Prefix;
    /// assert!(Prefix::new("acme_eu").is_ok());
    /// assert!(Prefix::new("acme_").is_err());
    /// assert!(Prefix::new("Acme").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Self, Error> {
        let legal = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && !text.ends_with('_')
            && text.bytes().all(|b| lower_or_digit(b) || b == b'_');
        Short::new(text)
            .filter(|_| legal)
            .map(Self)
            .ok_or(Error::new(
                ErrorKind::Name,
                "a prefix must be 1 to 16 characters of a-z, 0-9 or _, start with a letter and not end with _",
            ).in_field("prefix"))
    }
}

impl Environment {
    /// Creates an environment.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if the text is not a valid environment.
    ///
    /// # Examples
    /// ```
    /// use keystile::Environment;
    /// assert!(Environment::new("live").is_ok());
    /// assert!(Environment::new("li_ve").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Self, Error> {
        let legal = !text.is_empty() && text.bytes().all(lower_or_digit);
        Short::new(text).filter(|_| legal).map(Self).ok_or(
            Error::new(
                ErrorKind::Name,
                "an environment must be 1 to 12 characters of a-z or 0-9",
            )
            .in_field("environment"),
        )
    }
}

impl TemplateName {
    /// Creates a template name.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if the text is not a valid template name.
    ///
    /// # Examples
    /// ```
    /// use keystile::TemplateName;
    /// assert!(TemplateName::new("read-only").is_ok());
    /// assert!(TemplateName::new("Read only").is_err());
    /// ```
    pub fn new(text: &str) -> Result<Self, Error> {
        let legal = text.len() <= 32
            && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| lower_or_digit(b) || matches!(b, b'_' | b'-'));
        legal.then(|| Self(text.into())).ok_or(Error::new(
            ErrorKind::Name,
            "a template name must be 1 to 32 characters of a-z, 0-9, _ or -, and start with a letter",
        ).in_field("template"))
    }
}

const fn lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

impl Prefix {
    /// The text's bytes, without the UTF-8 check of [`as_str`](Self::as_str).
    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

macro_rules! text_of {
    ($name:ident, |$it:ident| $text:expr) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                let $it = self;
                $text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

text_of!(Prefix, |it| it.0.as_str());
text_of!(Environment, |it| it.0.as_str());
text_of!(TemplateName, |it| &it.0);
