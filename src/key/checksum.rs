//! The six check characters at the end of a structured key, so that a typo is refused
//! before any lookup.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::{Error, ErrorKind};
use crate::key::base62;

/// Shortest checksum key in bytes.
const CHECKSUM_KEY_BYTES_MIN: usize = 16;

/// How the check characters of a structured key are computed.
///
/// The check is not a security boundary; the digest is. It distinguishes a typo or an
/// invented key from a real one without a lookup, and lets a secret scanner discard false
/// positives.
///
/// ```
/// use keystile::Checksum;
/// let keyed = Checksum::keyed(&[7; 32]).unwrap();
/// assert_eq!(format!("{keyed:?}"), "Checksum::Keyed(..)");
/// assert!(Checksum::keyed(b"").is_err(), "an empty key would be no key");
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Checksum {
    /// CRC-32 (IEEE 802.3), which anyone can verify offline.
    #[default]
    Crc32,
    /// The first 35 bits of HMAC-SHA-256 under a key that only the server has, so that
    /// keys that were never issued are refused too.
    Keyed(ChecksumKey),
}

/// The server's key for a keyed checksum, made by [`Checksum::keyed`].
///
/// ```
/// use keystile::{Checksum, ErrorKind};
/// let Ok(Checksum::Keyed(key)) = Checksum::keyed(&[7; 16]) else { panic!("16 bytes are enough") };
/// assert_eq!(format!("{key:?}"), "ChecksumKey(..)");
/// assert_eq!(Checksum::keyed(&[7; 15]).unwrap_err().kind(), ErrorKind::Format);
/// ```
#[derive(Clone)]
pub struct ChecksumKey(Hmac<Sha256>);

impl Checksum {
    /// Creates a keyed checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] if the key has fewer than 16 bytes.
    pub fn keyed(key: &[u8]) -> Result<Self, Error> {
        if key.len() < CHECKSUM_KEY_BYTES_MIN {
            return Err(Error::new(
                ErrorKind::Format,
                "a checksum key must have 16 bytes or more",
            )
            .in_field("checksum_key"));
        }
        let state = Hmac::new_from_slice(key).map_err(|_| {
            Error::new(
                ErrorKind::Format,
                "a checksum key must be usable as a key of HMAC",
            )
            .in_field("checksum_key")
        })?;
        Ok(Self::Keyed(ChecksumKey(state)))
    }

    /// The six base62 check digits of `text`.
    pub(crate) fn digits(&self, text: &[u8]) -> [u8; 6] {
        base62::six_digits(self.number(text))
    }

    /// Whether `digits`, which must be base62, are the check digits of `text`.
    #[inline]
    pub(crate) fn holds(&self, text: &[u8], digits: &[u8; 6]) -> bool {
        self.number(text) == base62::number(digits)
    }

    #[inline]
    fn number(&self, text: &[u8]) -> u64 {
        match self {
            Self::Crc32 => u64::from(crc32fast::hash(text)),
            Self::Keyed(key) => key.number(text),
        }
    }
}

impl ChecksumKey {
    fn number(&self, text: &[u8]) -> u64 {
        let mac = self.0.clone().chain_update(text).finalize().into_bytes();
        let first = mac.first_chunk::<8>().copied().unwrap_or_default();
        // 35 bits are the most that six base62 digits can hold.
        u64::from_be_bytes(first) >> 29
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crc32 => "Checksum::Crc32",
            Self::Keyed(_) => "Checksum::Keyed(..)",
        })
    }
}

impl fmt::Debug for ChecksumKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChecksumKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32_agrees_with_the_published_check_value() {
        // The CRC catalogue's check value of CRC-32/ISO-HDLC over "123456789".
        assert_eq!(
            Checksum::Crc32.digits(b"123456789"),
            base62::six_digits(0xCBF4_3926)
        );
    }

    #[test]
    fn keyed_agrees_with_rfc_4231_case_1_cut_to_35_bits() {
        // RFC 4231, section 4.2.
        let keyed = Checksum::keyed(&[0x0b; 20]).unwrap();
        let first = 0xb034_4c61_d8db_3853_u64;
        assert_eq!(keyed.digits(b"Hi There"), base62::six_digits(first >> 29));
    }
}
