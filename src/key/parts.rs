//! The parts of a structured key, found by their positions from its end.

use crate::key::base62;
use crate::key::checksum::Checksum;
use crate::key::id::{KEY_ID_BYTES, KeyId};

/// Characters of a structured key's secret: 43 × log₂ 62 = 256.03 bits.
pub(crate) const SECRET_BYTES: usize = 43;
const CHECK_BYTES: usize = 6;
const TAIL_BYTES: usize = SECRET_BYTES + CHECK_BYTES;
/// `id _ secret check`, the part of fixed length, which is parsed from the key's end.
pub(crate) const BODY_BYTES: usize = KEY_ID_BYTES + 1 + TAIL_BYTES;
pub(crate) const SEPARATOR: u8 = b'_';

/// The parts of a structured key's text, split by position only.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'k> {
    /// Prefix and environment, each followed by a separator.
    pub(crate) head: &'k [u8],
    /// The characters at the position of the id.
    pub(crate) id: &'k [u8; KEY_ID_BYTES],
    /// Secret and check.
    pub(crate) tail: &'k [u8; TAIL_BYTES],
}

impl<'k> Parts<'k> {
    /// The parts, if the text is long enough and the last separator is at its position.
    #[inline]
    pub(crate) fn of(text: &'k [u8]) -> Option<Self> {
        let (rest, tail) = text.split_last_chunk::<TAIL_BYTES>()?;
        let (_, rest) = rest.split_last().filter(|&(&last, _)| last == SEPARATOR)?;
        let (head, id) = rest.split_last_chunk::<KEY_ID_BYTES>()?;
        Some(Self { head, id, tail })
    }
}

/// A key's parts, before its check is verified.
pub(crate) struct Shape<'k, 'f> {
    pub(crate) text: &'k [u8],
    pub(crate) named: Option<Named<'k>>,
    pub(crate) checksum: Option<&'f Checksum>,
}

/// What a structured key claims about itself.
#[derive(Clone, Copy)]
pub(crate) struct Named<'k> {
    /// The characters at the position of the id.
    pub(crate) id: &'k [u8; KEY_ID_BYTES],
    pub(crate) environment: Option<&'k [u8]>,
    /// Secret and check.
    pub(crate) tail: &'k [u8; TAIL_BYTES],
}

impl Shape<'_, '_> {
    /// Whether its characters are base62 and its check is right.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        let (Some(named), Some(checksum)) = (&self.named, self.checksum) else {
            return true;
        };
        let legal = named.id().is_some() && base62::is_text(named.tail);
        let parts = self.text.split_last_chunk::<CHECK_BYTES>();
        legal && parts.is_some_and(|(covered, check)| checksum.holds(covered, check))
    }
}

impl Named<'_> {
    /// The id, if it is valid.
    #[inline]
    pub(crate) fn id(&self) -> Option<KeyId> {
        KeyId::from_array(*self.id)
    }
}
