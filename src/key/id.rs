//! The public id of a key, for logs, audits and invalidation.

use core::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use rand_core::TryCryptoRng;

use crate::error::{Error, ErrorKind};
use crate::key::base62;

/// The format version that an id begins with.
const VERSION: u8 = b'1';

/// Characters in an id.
pub(crate) const KEY_ID_BYTES: usize = 16;

/// A key's public id: the format version `1` and 15 random base62 characters.
///
/// It identifies a key and proves nothing, so it may be logged and shown.
///
/// ```
/// use keystile::KeyId;
/// let id: KeyId = "1AbCdEfGhIjKlMnO".parse().unwrap();
/// assert_eq!(id.as_str(), "1AbCdEfGhIjKlMnO");
/// assert!("2AbCdEfGhIjKlMnO".parse::<KeyId>().is_err(), "an unknown version");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// A new random id.
    ///
    /// # Errors
    /// [`ErrorKind::Randomness`] if the source fails.
    pub fn random<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        let mut bytes = [VERSION; KEY_ID_BYTES];
        if let Some((_, random)) = bytes.split_first_mut() {
            base62::fill(rng, random)?;
        }
        Ok(Self(bytes))
    }

    /// Creates an id from its 16 characters.
    ///
    /// # Errors
    /// [`ErrorKind::KeyId`] if they are not a valid id.
    #[inline]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let id = <[u8; KEY_ID_BYTES]>::try_from(bytes).ok();
        id.and_then(Self::from_array).ok_or(Error::new(
            ErrorKind::KeyId,
            "a key id must be 16 characters of 0-9, A-Z or a-z, the first of them 1",
        ))
    }

    #[inline]
    pub(crate) fn from_array(bytes: [u8; KEY_ID_BYTES]) -> Option<Self> {
        let [version, ..] = bytes;
        // The alphabet first: a test of 16 bytes vectorises, a test of 15 does not.
        (base62::is_text(&bytes) && version == VERSION).then_some(Self(bytes))
    }

    /// An id that is known to be valid, or is only compared with ids that are.
    pub(crate) const fn to_look_for(bytes: [u8; KEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The id's 16 characters.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Hash for KeyId {
    /// Two words: the derived implementation would also hash the array's length, on each
    /// lookup.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.0));
    }
}

impl FromStr for KeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}
