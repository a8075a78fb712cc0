//! Whether a text has the shape of a key, before anything is verified.

use crate::key::base62::is_text;
use crate::key::format::{KEY_TEXT_BYTES_MAX, KeyFormat};
use crate::key::parts::{Parts, SEPARATOR};

const ENVIRONMENT_BYTES_MAX: usize = 12;

/// The shape of the keys of a format: prefix, lengths and alphabet. The check is not part of
/// it, so that a key with a typo still has the shape of one; nor is which environment it is for.
///
/// Structured keys of a known prefix are tested in the least time: each request with a key
/// takes this way.
#[derive(Clone, Debug)]
pub(crate) enum KeyShape {
    Structured(Start),
    Other(KeyFormat),
}

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 16;

/// A prefix as a number, which is compared without a loop or a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    bytes: u128,
    /// Which bits of the number belong to the prefix.
    mask: u128,
    len: usize,
}

impl Start {
    /// `None` if it is longer than any prefix.
    fn of(prefix: &[u8]) -> Option<Self> {
        let (mut bytes, mut mask) = ([0; PREFIX_BYTES_MAX], [0; PREFIX_BYTES_MAX]);
        let len = prefix.len();
        bytes.get_mut(..len)?.copy_from_slice(prefix);
        mask.get_mut(..len)?.fill(u8::MAX);
        let [bytes, mask] = [bytes, mask].map(u128::from_le_bytes);
        Some(Self { bytes, mask, len })
    }

    /// What follows this prefix and a separator in the head of a text.
    #[inline]
    fn strip<'k>(&self, text: &[u8], head: &'k [u8]) -> Option<&'k [u8]> {
        // The body of a key alone has more bytes than these.
        let first = text.first_chunk::<PREFIX_BYTES_MAX>()?;
        let is_same = (u128::from_le_bytes(*first) ^ self.bytes) & self.mask == 0;
        match head.split_at_checked(self.len) {
            Some((_, [SEPARATOR, name @ ..])) if is_same => Some(name),
            _ => None,
        }
    }
}

impl KeyShape {
    pub(crate) fn of(format: &KeyFormat) -> Self {
        let known = format.prefix().filter(|_| format.is_structured());
        let start = known.and_then(|prefix| Start::of(prefix.as_str().as_bytes()));
        start.map_or_else(|| Self::Other(format.clone()), Self::Structured)
    }

    /// Whether a text has this shape. A text longer than any key is not scanned.
    #[inline]
    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        match self {
            Self::Structured(start) => fits_structured(text, start),
            Self::Other(format) => format.has_shape(text),
        }
    }
}

#[inline(never)]
fn fits_structured(text: &[u8], start: &Start) -> bool {
    if text.len() > KEY_TEXT_BYTES_MAX {
        return false;
    }
    let Some(Parts { head, id, tail }) = Parts::of(text) else {
        return false;
    };
    let is_head = match start.strip(text, head) {
        Some([]) => true,
        Some([name @ .., SEPARATOR]) => {
            (1..=ENVIRONMENT_BYTES_MAX).contains(&name.len()) && name.iter().all(is_of_environment)
        }
        _ => false,
    };
    is_head && is_text(id) & is_text(tail)
}

/// A table, since it is read for a few bytes that are not secret.
fn is_of_environment(byte: &u8) -> bool {
    ENVIRONMENT
        .get(usize::from(*byte))
        .copied()
        .unwrap_or(false)
}

const ENVIRONMENT: [bool; 256] = {
    let mut legal = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        if let Some(slot) = legal.split_at_mut(byte as usize).1.first_mut() {
            *slot = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        }
        byte = byte.saturating_add(1);
    }
    legal
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_that_of_its_format() {
        for prefix in [
            "ab",
            "a",
            "abcdefgh",
            "abcdefghi",
            "ab_cd",
            "abcdefghijklmnop",
        ] {
            let format = KeyFormat::structured(prefix).unwrap();
            let shape = KeyShape::of(&format);
            let body = [b"1".repeat(16), b"_".to_vec(), b"a".repeat(49)].concat();
            let heads = [
                "ab_",
                "ab_a_",
                "ab_live_",
                "ab_abcdefghijkl_",
                "ab_abcdefghijklm_",
                "ab__",
                "ab",
                "_",
                "",
                "ac_",
                "abc_",
                "ab_A_",
                "ab_a-b_",
                "ab_a_b_",
                "ab_a",
                "ab_a__",
                "AB_a_",
            ];
            let mut fitting = 0;
            for head in heads {
                let head = head.replacen("ab", prefix, 1);
                let text = [head.as_bytes(), &body].concat();
                for place in 0..text.len() {
                    for byte in *b"aZ9_-~\x80\x00" {
                        let mut changed = text.clone();
                        changed[place] = byte;
                        assert_eq!(
                            shape.fits(&changed),
                            format.has_shape(&changed),
                            "{changed:?}"
                        );
                        fitting += u32::from(shape.fits(&changed));
                    }
                    assert_eq!(shape.fits(&text[place..]), format.has_shape(&text[place..]));
                    assert_eq!(shape.fits(&text[..place]), format.has_shape(&text[..place]));
                }
            }
            assert!(fitting > 500, "{fitting}");
        }
    }
}
