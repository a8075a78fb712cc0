//! The parts of a structured key, found by their positions from its end.

use crate::key::base62;
use crate::key::checksum::Checksum;
use crate::key::id::{KEY_ID_BYTES, KeyId};

/// Characters of a structured key's secret: 43 × log₂ 62 = 256.03 bits.
pub(crate) const SECRET_BYTES: usize = 43;
const CHECK_BYTES: usize = 6;
const TAIL_BYTES: usize = SECRET_BYTES + CHECK_BYTES;
/// `id _ secret check`, the part of fixed length that a key is read by from its end.
pub(crate) const BODY_BYTES: usize = KEY_ID_BYTES + 1 + TAIL_BYTES;
pub(crate) const SEPARATOR: u8 = b'_';

/// The parts of a structured key's text, by their places alone.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'k> {
    /// Prefix and environment, with a separator behind each.
    pub(crate) head: &'k [u8],
    /// What stands in the id's place.
    pub(crate) id: &'k [u8; KEY_ID_BYTES],
    /// Secret and check.
    pub(crate) tail: &'k [u8; TAIL_BYTES],
}

impl<'k> Parts<'k> {
    /// The parts, where the text is long enough and the last separator is in its place.
    #[inline]
    pub(crate) fn of(text: &'k [u8]) -> Option<Self> {
        let (rest, tail) = text.split_last_chunk::<TAIL_BYTES>()?;
        let (_, rest) = rest.split_last().filter(|&(&last, _)| last == SEPARATOR)?;
        let (head, id) = rest.split_last_chunk::<KEY_ID_BYTES>()?;
        Some(Self { head, id, tail })
    }
}

/// A key's parts, before its check was looked at.
pub(crate) struct Shape<'k, 'f> {
    pub(crate) text: &'k [u8],
    pub(crate) named: Option<Named<'k>>,
    pub(crate) checksum: Option<&'f Checksum>,
}

/// What a structured key says of itself.
#[derive(Clone, Copy)]
pub(crate) struct Named<'k> {
    /// What stands in the id's place.
    pub(crate) id: &'k [u8; KEY_ID_BYTES],
    pub(crate) environment: Option<&'k [u8]>,
    /// Secret and check.
    pub(crate) tail: &'k [u8; TAIL_BYTES],
}

impl Shape<'_, '_> {
    /// Whether its characters are of the alphabet and its check is right.
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
    /// The id, if it is one.
    #[inline]
    pub(crate) fn id(&self) -> Option<KeyId> {
        KeyId::from_array(*self.id)
    }
}
