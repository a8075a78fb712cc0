//! Offline diagnosis of a text that may be a key, for support desks and error messages.

use core::fmt;

use crate::key::base62::is_text;
use crate::key::format::{KEY_TEXT_BYTES_MAX, KeyFormat};
use crate::key::id::KeyId;
use crate::key::label::Environment;

/// The result of [`inspect`]. It contains no secret part of the text.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// let issued = issuer.issue(&IssueRequest::new("Acme")?.environment("live")?, &mut SysRng, now)?;
/// let text = issued.key.expose().as_bytes();
/// let whole = inspect(&format, text);
/// assert_eq!(whole.finding, Finding::WellFormed);
/// assert_eq!(whole.key_id, Some(issued.record.id));
/// assert_eq!(whole.environment.unwrap().as_str(), "live");
/// assert_eq!(inspect(&format, &text[..40]).finding, Finding::WrongLength);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// What kind of text it is.
    pub finding: Finding,
    /// The environment in the key's text, if there is one.
    pub environment: Option<Environment>,
    /// The public id in the key's text, if there is one.
    pub key_id: Option<KeyId>,
}

/// What kind of text was inspected.
///
/// ```
/// use keystile::{inspect, Finding, KeyFormat};
/// let format = KeyFormat::structured("acme")?;
/// let find = |text: &str| inspect(&format, text.as_bytes()).finding;
/// assert_eq!(find(""), Finding::Empty);
/// assert_eq!(find("globex_live_1AbC"), Finding::Foreign);
/// assert_eq!(find("acme_live_1AbC"), Finding::WrongLength);
/// assert!(find("acme_live_1AbC").hint().ends_with("copy it again, whole"));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Finding {
    /// A well-formed key of this format. Only a store knows whether it was ever issued.
    WellFormed,
    /// The shape of a key, but the check is wrong: it was mistyped, or cut and padded.
    WrongChecksum,
    /// A key wrapped in white space, a byte-order mark, quotes, a scheme, or the line of a header
    /// or an assignment.
    Wrapped,
    /// Starts like a key of this format, but is too short or too long.
    WrongLength,
    /// Starts like a key of this format, but contains characters that no key has.
    WrongCharacter,
    /// Not a key of this format.
    Foreign,
    /// An empty text.
    Empty,
}

impl Finding {
    /// Advice on what to do, in one sentence.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::WellFormed => "the text is whole; if it is refused, look its id up in the store",
            Self::WrongChecksum => {
                "a character was changed; copy the key again from where it was issued"
            }
            Self::Wrapped => {
                "take the white space, quotes, scheme, and name of a header or variable off the key"
            }
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

/// Reports what a text is, as far as that is known without a store.
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
    // As in [`KeyFormat::parse`]: a text longer than any key is not scanned.
    let short = (bare.len() <= KEY_TEXT_BYTES_MAX).then_some(bare);
    let Some(shape) = short.and_then(|bare| format.shape(bare)) else {
        let after_prefix = format.prefix().and_then(|prefix| {
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
        return only(match after_prefix {
            None => Finding::Foreign,
            Some(rest) if rest.iter().all(legal) => Finding::WrongLength,
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

/// The text without what people copy along with a key, in any order: white space, a byte-order
/// mark, quotes, a scheme, the name of a header or of a variable.
fn unwrapped(text: &[u8]) -> &[u8] {
    let mut bare = text;
    for _ in 0..LAYERS_MAX {
        let inner = without_layer(bare);
        if inner.len() == bare.len() {
            break;
        }
        bare = inner;
    }
    bare
}

/// The text without its outermost layer, or as it is.
fn without_layer(text: &[u8]) -> &[u8] {
    let trimmed = without_space(text);
    if trimmed.len() < text.len() {
        return trimmed;
    }
    if let [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] | [b'`', inner @ .., b'`'] = text {
        return inner;
    }
    let after_word = |word: &&[u8]| {
        let (start, rest) = text.split_at_checked(word.len())?;
        start.eq_ignore_ascii_case(word).then_some(rest)
    };
    if let Some(rest) = WORDS.iter().find_map(after_word) {
        return rest;
    }
    // Header-Name: or VARIABLE=
    let mut name = text.iter().take(NAME_BYTES_MAX.saturating_add(1));
    let end = name.position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'));
    match end.and_then(|end| text.split_at_checked(end)) {
        Some(([_, ..], [b':' | b'=', rest @ ..])) => rest,
        _ => text,
    }
}

/// The text without white space at its ends, and without the characters beyond ASCII that look
/// like it, or like nothing.
fn without_space(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    let start = UNSEEN.iter().find_map(|unseen| text.strip_prefix(*unseen));
    let text = start.unwrap_or(text);
    let end = UNSEEN.iter().find_map(|unseen| text.strip_suffix(*unseen));
    end.unwrap_or(text)
}

/// How much is taken off: a text of quotes only must not be read again for each of them.
const LAYERS_MAX: usize = 16;
/// The longest name of a header or variable.
const NAME_BYTES_MAX: usize = 64;
/// Schemes of credentials, and what a shell writes before an assignment.
const WORDS: [&[u8]; 5] = [b"bearer ", b"token ", b"apikey ", b"api-key ", b"export "];
/// In UTF-8: the byte-order mark, a no-break space, a zero-width space.
const UNSEEN: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xc2\xa0", b"\xe2\x80\x8b"];
