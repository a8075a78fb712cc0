//! The text format of keys: building a key's text and parsing it.

use alloc::boxed::Box;
use alloc::string::String;

use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};
use crate::key::base62;
use crate::key::checksum::Checksum;
use crate::key::id::KeyId;
use crate::key::label::{Environment, Prefix};
use crate::key::parts::{BODY_BYTES, Named, Parts, SECRET_BYTES, SEPARATOR, Shape};
use crate::key::presented::PresentedKey;
use crate::key::text::ApiKey;

/// Random bytes of an opaque key: minimum, maximum and default.
const OPAQUE_BYTES_MIN: u8 = 16;
const OPAQUE_BYTES_MAX: u8 = 64;
const OPAQUE_BYTES: u8 = 32;
/// Hex digits of an opaque key that may be shown. With `dt_` they fill a column of ten
/// characters. 228 secret bits are left.
pub(crate) const OPAQUE_SHOWN: usize = 7;
/// Characters of an id that may be shown.
pub(crate) const ID_SHOWN: usize = 4;

/// Longest text, in bytes, that is parsed as a key; the longest key has 145.
pub const KEY_TEXT_BYTES_MAX: usize = 256;

/// The text format of one kind of key.
///
/// A structured key (the default) contains its public id, so that a store finds its
/// record by a plain lookup, and a check, so that a typo is refused before any lookup:
///
/// ```text
/// acme _ live _ 1AbCdEfGhIjKlMnO _ (43 characters of secret)(6 of check)
/// prefix  environment   public id, 16        256 bits        CRC-32 or keyed
/// ```
///
/// An opaque key is a prefix and lower-case hex digits. Its record is found by its
/// digest.
///
/// ```
/// use keystile::KeyFormat;
/// let format = KeyFormat::structured("acme")?;
/// assert!(format.parse(b"acme_live_1AbCdEfGhIjKlMnO_too-short").is_none());
/// assert!(KeyFormat::structured("acme_").is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyFormat {
    /// `None` accepts any valid prefix; such a format only parses.
    prefix: Option<Prefix>,
    spelling: Spelling,
}

#[derive(Clone, Debug)]
enum Spelling {
    Structured { checksum: Checksum },
    Opaque { random_bytes: u8 },
    AnyOpaque,
}

impl KeyFormat {
    /// Structured keys with this prefix and a CRC-32 check.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if `prefix` is not a valid prefix.
    pub fn structured(prefix: &str) -> Result<Self, Error> {
        let spelling = Spelling::Structured {
            checksum: Checksum::Crc32,
        };
        Ok(Self {
            prefix: Some(Prefix::new(prefix)?),
            spelling,
        })
    }

    /// Opaque keys: the prefix, `_`, and 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if `prefix` is not a valid prefix.
    pub fn opaque(prefix: &str) -> Result<Self, Error> {
        let spelling = Spelling::Opaque {
            random_bytes: OPAQUE_BYTES,
        };
        Ok(Self {
            prefix: Some(Prefix::new(prefix)?),
            spelling,
        })
    }

    /// Parses structured keys with any prefix; it cannot issue.
    ///
    /// For programs that work on a store with several kinds of keys. The digest covers
    /// the prefix too, so only keys that were issued are accepted.
    #[must_use]
    pub const fn any_structured() -> Self {
        Self {
            prefix: None,
            spelling: Spelling::Structured {
                checksum: Checksum::Crc32,
            },
        }
    }

    /// Parses opaque keys with any prefix and length; it cannot issue.
    #[must_use]
    pub const fn any_opaque() -> Self {
        Self {
            prefix: None,
            spelling: Spelling::AnyOpaque,
        }
    }

    /// The same format with another checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if the keys are opaque, since they have no check.
    pub fn with_checksum(self, checksum: Checksum) -> Result<Self, Error> {
        match self.spelling {
            Spelling::Structured { .. } => Ok(Self {
                spelling: Spelling::Structured { checksum },
                ..self
            }),
            _ => Err(Error::new(
                ErrorKind::Format,
                "a checksum must be set on a structured format; opaque keys have none",
            )
            .in_field("checksum")),
        }
    }

    /// The same format with `random_bytes` random bytes, two hex digits each.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if `random_bytes` is not 16 to 64, or if the keys are
    /// structured.
    pub fn with_random_bytes(self, random_bytes: u8) -> Result<Self, Error> {
        let legal = (OPAQUE_BYTES_MIN..=OPAQUE_BYTES_MAX).contains(&random_bytes);
        match self.spelling {
            Spelling::Opaque { .. } if legal => Ok(Self {
                spelling: Spelling::Opaque { random_bytes },
                ..self
            }),
            _ => Err(Error::new(
                ErrorKind::Format,
                "the number of random bytes must be 16 to 64, and set on an opaque format",
            )
            .in_field("random_bytes")),
        }
    }

    /// The prefix, or `None` if the format accepts any.
    #[must_use]
    pub const fn prefix(&self) -> Option<&Prefix> {
        self.prefix.as_ref()
    }

    /// Whether keys of this format contain their id, environment and check.
    #[must_use]
    pub const fn is_structured(&self) -> bool {
        matches!(self.spelling, Spelling::Structured { .. })
    }

    /// Parses a presented key, or returns `None` if it is not of this format.
    ///
    /// Up to the check, the cost does not depend on which part is wrong.
    #[must_use]
    #[inline]
    pub fn parse<'k>(&self, text: &'k [u8]) -> Option<PresentedKey<'k>> {
        // store-forwarding stall: `reads` answers in a register (see ARCHITECTURE.md)
        self.reads(text)
            .then(|| PresentedKey::new(text, self.id_within(text)))
    }

    /// Whether a text is a key of this format, including its check.
    fn reads(&self, text: &[u8]) -> bool {
        self.shape(text).is_some_and(|shape| shape.is_whole())
    }

    /// Whether a text has the prefix, lengths and alphabet of this format. Its check may be
    /// wrong, as that of a key with a typo.
    pub(crate) fn has_shape(&self, text: &[u8]) -> bool {
        let of_key = |named: &Named<'_>| base62::is_text(named.id) & base62::is_text(named.tail);
        let shape = self.shape(text);
        shape.is_some_and(|shape| shape.named.as_ref().is_none_or(of_key))
    }

    /// The id of a text that is known to be a key.
    #[inline]
    fn id_within(&self, text: &[u8]) -> Option<KeyId> {
        let body = text.last_chunk::<BODY_BYTES>()?;
        let id = body.first_chunk().copied().map(KeyId::to_look_for);
        id.filter(|_| self.is_structured())
    }

    /// Splits a key into its parts by position, without looking at its secret or its
    /// check.
    // store-forwarding stall: the parts stay in registers (see ARCHITECTURE.md)
    #[inline(always)]
    pub(crate) fn shape<'k>(&self, text: &'k [u8]) -> Option<Shape<'k, '_>> {
        // The length first: a header of a mebibyte must cost no more than a short one.
        let text = (text.len() <= KEY_TEXT_BYTES_MAX).then_some(text)?;
        match &self.spelling {
            Spelling::Structured { checksum } => {
                let Parts { head, id, tail } = Parts::of(text)?;
                let environment = self.environment_of(head)?;
                let named = Named {
                    id,
                    environment,
                    tail,
                };
                Some(Shape {
                    text,
                    named: Some(named),
                    checksum: Some(checksum),
                })
            }
            spelling => {
                let separator = text.iter().rposition(|&byte| byte == SEPARATOR)?;
                let (head, digits) = text.split_at_checked(separator)?;
                let count = digits.len().checked_sub(1)?;
                let right_length = match spelling {
                    Spelling::Opaque { random_bytes } => {
                        count == usize::from(*random_bytes).saturating_mul(2)
                    }
                    _ => count.is_multiple_of(2) && (32..=128).contains(&count),
                };
                let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                let legal = right_length && self.is_prefix(head) && digits.iter().skip(1).all(hex);
                legal.then_some(Shape {
                    text,
                    named: None,
                    checksum: None,
                })
            }
        }
    }

    /// The environment in `prefix_` or `prefix_environment_`, or `None` if `head` is
    /// neither.
    #[inline]
    fn environment_of<'k>(&self, head: &'k [u8]) -> Option<Option<&'k [u8]>> {
        let (_, head) = head.split_last().filter(|&(&last, _)| last == SEPARATOR)?;
        let Some(prefix) = &self.prefix else {
            // If the prefix is not known, the two cannot be told apart.
            return is_any_head(head).then_some(None);
        };
        let rest = head.strip_prefix(prefix.as_bytes())?;
        let Some((&first, environment)) = rest.split_first() else {
            return Some(None);
        };
        let legal = first == SEPARATOR
            && (1..=12).contains(&environment.len())
            && environment
                .iter()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        legal.then_some(Some(environment))
    }

    fn is_prefix(&self, head: &[u8]) -> bool {
        match &self.prefix {
            Some(prefix) => head == prefix.as_bytes(),
            None => is_named(head, Prefix::new),
        }
    }

    /// Builds a new key with this `id`, and the part of it that may be shown.
    pub(crate) fn spell<R: TryCryptoRng + ?Sized>(
        &self,
        id: &KeyId,
        environment: Option<&Environment>,
        rng: &mut R,
    ) -> Result<(ApiKey, Box<str>), Error> {
        let prefix = self.prefix.as_ref().ok_or(
            Error::new(
                ErrorKind::Format,
                "a format that issues keys must have a prefix; this one reads any",
            )
            .in_field("format"),
        )?;
        let mut shown = String::from(prefix.as_str());
        shown.push('_');
        // Room for the longest key: a string that grows would leave unwiped copies in
        // memory.
        let mut text = Zeroizing::new(String::with_capacity(KEY_TEXT_BYTES_MAX));
        text.push_str(&shown);
        match &self.spelling {
            Spelling::Structured { checksum } => {
                for label in environment.iter().map(|e| e.as_str()) {
                    text.push_str(label);
                    text.push('_');
                    shown.push_str(label);
                    shown.push('_');
                }
                let mut secret = Zeroizing::new([0; SECRET_BYTES]);
                base62::fill(rng, &mut *secret)?;
                text.push_str(id.as_str());
                text.push('_');
                secret.iter().for_each(|&byte| text.push(char::from(byte)));
                let check = checksum.digits(text.as_bytes());
                check.iter().for_each(|&byte| text.push(char::from(byte)));
                shown.push_str(id.as_str().get(..ID_SHOWN).unwrap_or_default());
            }
            Spelling::Opaque { random_bytes } => {
                let mut bytes = Zeroizing::new([0u8; OPAQUE_BYTES_MAX as usize]);
                let bytes = bytes
                    .get_mut(..usize::from(*random_bytes))
                    .unwrap_or_default();
                rng.try_fill_bytes(bytes).map_err(|_| {
                    Error::new(ErrorKind::Randomness, "the source of randomness failed")
                })?;
                for &byte in bytes.iter() {
                    for digit in [byte >> 4, byte & 15] {
                        text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                    }
                }
                let first = text
                    .get(shown.len()..)
                    .and_then(|digits| digits.get(..OPAQUE_SHOWN));
                shown.push_str(first.unwrap_or_default());
            }
            Spelling::AnyOpaque => {}
        }
        Ok((ApiKey::new(Box::from(text.as_str())), shown.into()))
    }
}

/// Whether `head` is any valid prefix, with or without a valid environment after it.
fn is_any_head(head: &[u8]) -> bool {
    let mut parts = head.rsplitn(2, |&byte| byte == SEPARATOR);
    let (last, before) = (parts.next().unwrap_or_default(), parts.next());
    is_named(head, Prefix::new)
        || before
            .is_some_and(|prefix| is_named(prefix, Prefix::new) && is_named(last, Environment::new))
}

fn is_named<T>(text: &[u8], name: fn(&str) -> Result<T, Error>) -> bool {
    core::str::from_utf8(text).is_ok_and(|text| name(text).is_ok())
}
