//! What is this string? A pure, offline answer for support desks and error messages.

use core::fmt;

use crate::key::base62::is_text;
use crate::key::format::{KEY_TEXT_BYTES_MAX, KeyFormat};
use crate::key::id::KeyId;
use crate::key::label::Environment;

/// What a text turned out to be. It holds no secret part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The finding.
    pub finding: Finding,
    /// The environment that the key names, where its format carries one.
    pub environment: Option<Environment>,
    /// The public id that it claims, where its format carries one.
    pub key_id: Option<KeyId>,
}

/// The finding about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// Spelled as a key of this format. Whether it was ever issued, only a store knows.
    WellFormed,
    /// Right in shape, and its check is wrong: mistyped, or cut and padded.
    WrongChecksum,
    /// A key once white space, quotes or a scheme around it are taken off.
    Wrapped,
    /// Begins like a key of ours, and breaks off or runs on.
    WrongLength,
    /// Begins like a key of ours, and has characters that no key has.
    WrongCharacter,
    /// Not one of ours.
    Foreign,
    /// Nothing at all.
    Empty,
}

impl Finding {
    /// What to do, in a sentence.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::WellFormed => "the text is whole; if it is refused, look its id up in the store",
            Self::WrongChecksum => {
                "a character was changed; copy the key again from where it was issued"
            }
            Self::Wrapped => "take the white space, quotes or scheme off the key",
            Self::WrongLength => {
                "the key was cut off or something was joined to it; copy it again, whole"
            }
            Self::WrongCharacter => {
                "a character was changed to one that no key has; copy the key again"
            }
            Self::Foreign => "this is not a key of this service; look for one with its prefix",
            Self::Empty => "there is no key; is the variable set that it should be in",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WellFormed => "well formed",
            Self::WrongChecksum => "wrong checksum",
            Self::Wrapped => "wrapped",
            Self::WrongLength => "wrong length",
            Self::WrongCharacter => "wrong character",
            Self::Foreign => "foreign",
            Self::Empty => "empty",
        })
    }
}

/// Says what a text is, as far as that can be told without a store.
///
/// ```
/// use keystile::{inspect, KeyFormat, Finding};
/// let format = KeyFormat::structured("acme")?;
/// assert_eq!(inspect(&format, b"").finding, Finding::Empty);
/// assert_eq!(inspect(&format, b"acme_live_1AbC").finding, Finding::WrongLength);
/// assert_eq!(inspect(&format, b"ghp_0123456789").finding, Finding::Foreign);
/// assert!(Finding::WrongLength.hint().contains("cut off"));
/// # Ok::<(), keystile::Error>(())
/// ```
#[must_use]
pub fn inspect(format: &KeyFormat, text: &[u8]) -> Inspection {
    let bare = unwrapped(text);
    if bare.is_empty() {
        return only(Finding::Empty);
    }
    // As where keys are presented: what is longer than any key is not looked through.
    let short = (bare.len() <= KEY_TEXT_BYTES_MAX).then_some(bare);
    let Some(shape) = short.and_then(|bare| format.shape(bare)) else {
        let behind = format.prefix().and_then(|prefix| {
            let rest = bare.strip_prefix(prefix.as_str().as_bytes())?;
            rest.strip_prefix(b"_")
        });
        let legal = |byte: &u8| {
            if format.is_structured() {
                byte.is_ascii_alphanumeric() || *byte == b'_'
            } else {
                matches!(byte, b'0'..=b'9' | b'a'..=b'f')
            }
        };
        return only(match behind {
            None => Finding::Foreign,
            Some(behind) if behind.iter().all(legal) => Finding::WrongLength,
            Some(_) => Finding::WrongCharacter,
        });
    };
    let named = shape.named;
    let environment = named
        .and_then(|named| named.environment)
        .and_then(|bytes| core::str::from_utf8(bytes).ok())
        .and_then(|text| Environment::new(text).ok());
    let key_id = named.and_then(|named| named.id());
    let legal = named.is_none_or(|named| key_id.is_some() && is_text(named.tail));
    let finding = match (shape.is_whole(), legal) {
        (false, false) => Finding::WrongCharacter,
        (false, true) => Finding::WrongChecksum,
        (true, _) if bare.len() < text.len() => Finding::Wrapped,
        (true, _) => Finding::WellFormed,
    };
    Inspection {
        finding,
        environment,
        key_id,
    }
}

const fn only(finding: Finding) -> Inspection {
    Inspection {
        finding,
        environment: None,
        key_id: None,
    }
}

/// The text without what people copy along with a key.
fn unwrapped(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    let text = match text.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => text,
    };
    match text {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] | [b'`', inner @ .., b'`'] => {
            inner.trim_ascii()
        }
        _ => text,
    }
}
