//! Unbiased base62 text from random bytes, and fixed-width base62 numbers.

use rand_core::TryCryptoRng;
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind};

/// `0-9A-Za-z`: the order in which GitHub's checksum counts.
pub(crate) const ALPHABET: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Random bytes per draw: nearly always enough for the 43 characters of a secret.
const POOL_BYTES: usize = 96;

/// Draws after which a source without usable bytes is considered broken. A working source
/// returns a pool without a single usable byte once in 2⁴⁸⁰ draws.
const POOLS_MAX: u32 = 16;

/// The character for `byte`, or `None` if another byte must be drawn.
///
/// 248 is the largest multiple of 62 below 256, so exactly four bytes map to each
/// character. Mapping the other eight as well would favour the first eight characters.
pub(crate) fn character(byte: u8) -> Option<u8> {
    if byte < 248 {
        ALPHABET.get(usize::from(byte % 62)).copied()
    } else {
        None
    }
}

/// Whether `text` is base62. Its length is fixed and no branch depends on a byte, so that
/// the loop vectorises.
#[inline]
pub(crate) fn is_text<const N: usize>(text: &[u8; N]) -> bool {
    text.iter()
        .fold(true, |all, byte| all & byte.is_ascii_alphanumeric())
}

/// Fills `text` with independent, uniform characters.
pub(crate) fn fill<R: TryCryptoRng + ?Sized>(rng: &mut R, text: &mut [u8]) -> Result<(), Error> {
    let mut slots = text.iter_mut();
    let mut pool = [0u8; POOL_BYTES];
    for _ in 0..POOLS_MAX {
        if slots.len() == 0 || rng.try_fill_bytes(&mut pool).is_err() {
            break;
        }
        for character in pool.iter().filter_map(|&byte| character(byte)) {
            let Some(slot) = slots.next() else { break };
            *slot = character;
        }
    }
    let filled = slots.len() == 0;
    pool.zeroize();
    if filled {
        Ok(())
    } else {
        text.zeroize();
        Err(Error::new(
            ErrorKind::Randomness,
            "the source of randomness failed",
        ))
    }
}

/// `number` in six digits, most significant first.
///
/// Six digits hold any number below 62⁶ ≈ 5.7 × 10¹⁰, and so any number of 35 bits.
#[inline]
pub(crate) fn six_digits(number: u64) -> [u8; 6] {
    let mut rest = number;
    let mut digits = [0u8; 6];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(rest % 62).unwrap_or(0);
        *digit = ALPHABET.get(value).copied().unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

/// The number that six base62 digits represent.
///
/// Cheaper than converting a number to digits, which divides six times. Check digits are
/// not secret, so a table lookup is safe.
#[inline]
pub(crate) fn number(digits: &[u8; 6]) -> u64 {
    digits.iter().fold(0, |number: u64, &digit| {
        let value = VALUES.get(usize::from(digit)).copied().unwrap_or(0);
        number.wrapping_mul(62).wrapping_add(u64::from(value))
    })
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: a bad index fails the build"
)]
const VALUES: [u8; 256] = {
    let mut values = [0; 256];
    let mut value = 0u8;
    while (value as usize) < ALPHABET.len() {
        values[ALPHABET[value as usize] as usize] = value;
        value = value.saturating_add(1);
    }
    values
};

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn e1_e2_the_draw_is_exactly_uniform_over_all_bytes() {
        // Unkey #6669 and similar bugs: `byte % 62` favours the first eight characters.
        let mut hits = [0u32; 256];
        for byte in 0..=u8::MAX {
            match character(byte) {
                Some(drawn) => hits[usize::from(drawn)] += 1,
                None => assert!(byte >= 248, "{byte} was thrown away"),
            }
        }
        for byte in 0..=u8::MAX {
            let expected = if ALPHABET.contains(&byte) { 4 } else { 0 };
            assert_eq!(hits[usize::from(byte)], expected);
        }
        // The control: drawing by remainder fails the same count.
        let mut biased = [0u32; 62];
        (0..=u8::MAX).for_each(|byte| biased[usize::from(byte % 62)] += 1);
        assert!(biased.iter().any(|&count| count != 4));
    }

    /// A source that plays back bytes and then fails.
    struct Script<'a>(&'a [u8]);

    impl rand_core::TryRng for Script<'_> {
        type Error = core::fmt::Error;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Err(core::fmt::Error)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Err(core::fmt::Error)
        }
        fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
            let (now, later) = self.0.split_at_checked(to.len()).ok_or(core::fmt::Error)?;
            to.copy_from_slice(now);
            self.0 = later;
            Ok(())
        }
    }
    impl TryCryptoRng for Script<'_> {}

    #[test]
    fn e3_a_replacement_byte_is_checked_again() {
        let mut bytes = [255u8; 2 * POOL_BYTES];
        bytes[POOL_BYTES + 1] = 0;
        bytes[POOL_BYTES + 2] = 61;
        let mut text = [0u8; 2];
        fill(&mut Script(&bytes), &mut text).unwrap();
        assert_eq!(&text, b"0z");
    }

    #[test]
    fn e4_every_character_is_reachable_in_every_place() {
        for (at, &expected) in (0..4).flat_map(|p| ALPHABET.iter().map(move |c| (p, c))) {
            let byte = (0..=u8::MAX)
                .find(|&b| character(b) == Some(expected))
                .unwrap();
            let mut bytes = [7u8; POOL_BYTES];
            bytes[at] = byte;
            let mut text = [0u8; 4];
            fill(&mut Script(&bytes), &mut text).unwrap();
            assert_eq!(text[at], expected);
        }
    }

    #[test]
    fn e5_a_failing_or_stuck_source_is_an_error_and_leaves_nothing() {
        let stuck = [251u8; POOL_BYTES * 20];
        let mut half = [3u8; POOL_BYTES];
        half[1..].fill(255);
        for bytes in [&stuck[..], &half[..], &[]] {
            let mut text = [1u8; 4];
            let error = fill(&mut Script(bytes), &mut text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Randomness);
            assert_eq!(text, [0; 4]);
        }
    }

    #[test]
    fn six_digits_count_in_base62() {
        let naive = |mut n: u64| {
            let mut digits = Vec::new();
            while digits.len() < 6 {
                digits.insert(0, ALPHABET[(n % 62) as usize]);
                n /= 62;
            }
            digits
        };
        for n in [
            0,
            1,
            61,
            62,
            3_843,
            3_844,
            u64::from(u32::MAX),
            (1 << 35) - 1,
        ] {
            assert_eq!(six_digits(n).to_vec(), naive(n));
            assert_eq!(number(&six_digits(n)), n);
        }
    }
}
