//! Proof of a cached key without its text and without SHA-256.
//!
//! What a tag need not cover is compared as it is: of a key whose format fixes its
//! prefix, the id (by which the entry was found) and the environment are public.

use core::fmt;
use core::num::NonZeroU16;

use siphasher::sip128::{Hash128, SipHasher24};
use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind};
use crate::key::parts::Parts;
use crate::key::presented::PresentedKey;

/// A keyed 128-bit tag of a key's text.
///
/// SipHash-2-4 is a pseudo-random function (Aumasson and Bernstein, "SipHash: a fast
/// short-input PRF"): without the process's random key, a text with a given tag is as
/// hard to find as 128 random bits.
#[derive(Clone, Copy)]
pub(super) struct Tag([u8; 16]);

/// Makes tags under a random key that never leaves the process.
pub(super) struct Tagger(SipHasher24);

impl Tagger {
    pub(super) fn random() -> Result<Self, Error> {
        let mut key = zeroize::Zeroizing::new([0; 16]);
        getrandom::fill(&mut *key)
            .map_err(|_| Error::new(ErrorKind::Randomness, "the source of randomness failed"))?;
        Ok(Self(SipHasher24::new_with_key(&key)))
    }

    /// What will prove the key that was proved by its digest.
    pub(super) fn proof(&self, key: &PresentedKey<'_>) -> Proof {
        let text = key.text();
        let parts = Parts::of(text).filter(|_| key.claimed_id().is_some());
        let head = parts.and_then(|parts| Head::of(text, &parts));
        match parts.zip(head) {
            Some((parts, head)) => Proof {
                tag: self.tag(parts.tail),
                head: Some(head),
            },
            None => Proof {
                tag: self.tag(text),
                head: None,
            },
        }
    }

    /// Whether a text of these parts, the id of which is the proved key's, is that key.
    #[inline(always)]
    pub(super) fn proves(&self, proof: &Proof, text: &[u8], parts: &Parts<'_>) -> bool {
        match &proof.head {
            // The head is no secret.
            Some(head) => head.begins(text) && self.tag(parts.tail).is(&proof.tag),
            None => self.tag(text).is(&proof.tag),
        }
    }

    #[inline]
    pub(super) fn tag(&self, text: &[u8]) -> Tag {
        let Hash128 { h1, h2 } = self.0.hash(text);
        Tag((u128::from(h2) << 64 | u128::from(h1)).to_ne_bytes())
    }
}

/// What proves that a text is the key that was proved before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) tag: Tag,
    /// What precedes the tagged part and the id, if that is not the whole text.
    head: Option<Head>,
}

/// The public part of a key's text that its tag does not cover: prefix and environment.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// The text's length, so that what follows is where it was.
    text_bytes: NonZeroU16,
    /// The head and the beginning of the id.
    start: [u8; HEAD_BYTES_MAX],
}

/// The longest head that is compared as it is; with a longer one the whole text is
/// tagged. As long as an id, so that no more than an id is kept of what follows.
const HEAD_BYTES_MAX: usize = 16;

impl Head {
    fn of(text: &[u8], parts: &Parts<'_>) -> Option<Self> {
        let start = text
            .first_chunk()
            .filter(|_| parts.head.len() <= HEAD_BYTES_MAX)?;
        Some(Self {
            text_bytes: u16::try_from(text.len()).ok().and_then(NonZeroU16::new)?,
            start: *start,
        })
    }

    #[inline(always)]
    fn begins(&self, text: &[u8]) -> bool {
        let start = text.first_chunk().copied().map(u128::from_ne_bytes);
        usize::from(self.text_bytes.get()) == text.len()
            && start == Some(u128::from_ne_bytes(self.start))
    }
}

impl Tag {
    /// In constant time.
    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        let ([a, b], [c, d]) = (self.words(), other.words());
        ((a ^ c) | (b ^ d)).ct_eq(&0).into()
    }

    /// The tag without its alignment, which an entry has no room for.
    #[inline]
    const fn words(self) -> [u64; 2] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let low = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        [low, u64::from_ne_bytes(rest)]
    }

    /// The tag as the key of a map. A lookup by it is proof: no one can aim at one.
    pub(super) const fn to_bits(self) -> u128 {
        u128::from_ne_bytes(self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger(..)")
    }
}
