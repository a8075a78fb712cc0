//! Proof of a cached key without its text and without SHA-256.
//!
//! What a tag need not cover is compared as it is: of a key whose format fixes its
//! prefix, the id (by which the entry was found) and the environment are public.

use core::fmt;

use siphasher::sip128::{Hash128, SipHasher24};
use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind};
use crate::format::Shape;

/// A keyed 128-bit tag of a key's text.
///
/// SipHash-2-4 is a pseudo-random function (Aumasson and Bernstein, "SipHash: a fast
/// short-input PRF"): without the process's random key, a text with a given tag is as
/// hard to find as 128 random bits.
#[derive(Clone, Copy)]
pub(super) struct Tag([u64; 2]);

/// Makes tags under a random key that never leaves the process.
pub(super) struct Tagger(SipHasher24);

impl Tagger {
    pub(super) fn random() -> Result<Self, Error> {
        let mut key = zeroize::Zeroizing::new([0; 16]);
        getrandom::fill(&mut *key)
            .map_err(|_| Error::new(ErrorKind::Randomness, "the source of randomness failed"))?;
        Ok(Self(SipHasher24::new_with_key(&key)))
    }

    #[inline]
    pub(super) fn proof<'k>(&self, number: usize, shape: &Shape<'k, '_>) -> Proof<'k> {
        match shape.named.filter(|named| named.has_fixed_head) {
            Some(named) => Proof {
                tag: self.tag(named.tail),
                head: Some(Head {
                    format: number,
                    environment: named.environment,
                }),
            },
            None => Proof {
                tag: self.tag(shape.text),
                head: None,
            },
        }
    }

    /// The tag of a whole text, or of a part of it.
    #[inline]
    pub(super) fn tag(&self, text: &[u8]) -> Tag {
        let Hash128 { h1, h2 } = self.0.hash(text);
        Tag([h1, h2])
    }
}

/// What proves that a text is the key that was proved before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof<'k> {
    pub(super) tag: Tag,
    /// What stands before the tagged part, where that is not the whole text.
    pub(super) head: Option<Head<'k>>,
}

/// The public part of a key's text that its tag does not cover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'k> {
    pub(super) format: usize,
    pub(super) environment: Option<&'k [u8]>,
}

impl Tag {
    /// In constant time.
    #[inline]
    pub(super) fn is(&self, other: &Self) -> bool {
        let ([a, b], [c, d]) = (self.0, other.0);
        ((a ^ c) | (b ^ d)).ct_eq(&0).into()
    }

    /// The tag as the key of a map. A look-up by it is proof: nobody can aim at one.
    pub(super) const fn to_bits(self) -> u128 {
        let [low, high] = self.0;
        (high as u128) << 64 | low as u128
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
