//! The only code that hashes keys, and the only code that compares digests.

use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::error::{Error, ErrorKind};
use crate::key::sha256::sha256;

/// Shortest pepper in bytes; as long as the hash's output (RFC 2104, section 3).
const PEPPER_BYTES_MIN: usize = 32;

/// The most peppers that a ring holds, including the current one.
pub const PEPPERS_MAX: usize = 8;

/// How a digest was made.
///
/// ```
/// use keystile::{Digest, DigestKind};
/// let bytes = "00".repeat(32);
/// let keyed: Digest = format!("hmac-sha256:2:{bytes}").parse()?;
/// assert_eq!(keyed.kind(), DigestKind::HmacSha256 { pepper: 2 });
/// let plain: Digest = format!("sha256:{bytes}").parse()?;
/// assert_ne!(keyed, plain, "the bytes are equal, the kinds are not");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DigestKind {
    /// SHA-256 of the whole key text.
    Sha256,
    /// HMAC-SHA-256 of the whole key text under the pepper of this version.
    HmacSha256 {
        /// The pepper's version in the [`PepperRing`].
        pepper: u32,
    },
}

/// What a store keeps instead of a key.
///
/// The text form names the algorithm: `sha256:<hex>` or `hmac-sha256:<pepper>:<hex>`. A
/// bare value of 64 hex digits is read as SHA-256, so a column filled by
/// `printf %s "$KEY" | sha256sum` works unchanged.
///
/// Digests are compared in constant time. Digests of different kinds are never equal.
///
/// ```
/// use keystile::{Digest, DigestKind};
/// let bare = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// let digest: Digest = bare.parse().unwrap();
/// assert_eq!(digest.kind(), DigestKind::Sha256);
/// assert_eq!(digest.to_string(), format!("sha256:{bare}"));
/// assert!("md5:00".parse::<Digest>().is_err());
/// ```
#[derive(Clone, Copy)]
pub struct Digest {
    kind: DigestKind,
    bytes: [u8; 32],
}

impl Digest {
    /// Creates a digest from its parts, as a store holds them.
    #[must_use]
    pub const fn new(kind: DigestKind, bytes: [u8; 32]) -> Self {
        Self { kind, bytes }
    }

    /// The SHA-256 digest of a whole key text.
    #[must_use]
    pub fn sha256(text: &[u8]) -> Self {
        Self::new(DigestKind::Sha256, sha256(text))
    }

    /// How the digest was made.
    #[must_use]
    pub const fn kind(&self) -> DigestKind {
        self.kind
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl PartialEq for Digest {
    /// In constant time. Folded into 64 bits first: byte by byte, the same comparison takes
    /// many times as long.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // The kind is not secret.
        let difference = self
            .bytes
            .as_chunks::<8>()
            .0
            .iter()
            .zip(other.bytes.as_chunks::<8>().0)
            .fold(u64::from(self.kind != other.kind), |all, (a, b)| {
                all | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b))
            });
        difference.ct_eq(&0).into()
    }
}

impl Eq for Digest {}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or(Error::new(
            ErrorKind::Digest,
            "a digest must be sha256:<64 hex digits>, hmac-sha256:<pepper>:<64 hex digits> or 64 hex digits",
        ).in_field("digest"))
    }
}

fn parse(text: &str) -> Option<Digest> {
    let (kind, digits) = match text.split_once(':') {
        None => (DigestKind::Sha256, text),
        Some(("sha256", digits)) => (DigestKind::Sha256, digits),
        Some(("hmac-sha256", rest)) => {
            let (version, digits) = rest.split_once(':')?;
            let pepper: u32 = version.parse().ok()?;
            // A digest has one text form only: no sign, no leading zeros.
            let plain = version.bytes().all(|b| b.is_ascii_digit())
                && (version.len() == 1 || !version.starts_with('0'));
            (plain.then_some(DigestKind::HmacSha256 { pepper })?, digits)
        }
        Some(_) => return None,
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Digest { kind, bytes })
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DigestKind::Sha256 => f.write_str("sha256:")?,
            DigestKind::HmacSha256 { pepper } => write!(f, "hmac-sha256:{pepper}:")?,
        }
        self.bytes
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    /// Leaves the value out, so that a log does not become a list of digests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A key that only the server holds and that digests are made under, so that a stolen
/// table cannot be used to test guesses.
///
/// ```
/// use keystile::{DigestKind, ErrorKind, Pepper, PepperRing};
/// let ring = PepperRing::new(Pepper::new(1, &[7; 32])?); // 32 random bytes, from the service's secrets
/// let digest = ring.digest(b"dt_0123456789abcdef");
/// assert_eq!(digest.kind(), DigestKind::HmacSha256 { pepper: 1 });
/// assert_eq!(Pepper::new(1, b"too short").unwrap_err().kind(), ErrorKind::Digest);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone)]
pub struct Pepper {
    version: u32,
    state: Hmac<Sha256>,
}

impl Pepper {
    /// Creates a pepper. Digests name it by its version.
    ///
    /// # Errors
    /// [`ErrorKind::Digest`] if the secret has fewer than 32 bytes.
    pub fn new(version: u32, secret: &[u8]) -> Result<Self, Error> {
        if secret.len() < PEPPER_BYTES_MIN {
            return Err(
                Error::new(ErrorKind::Digest, "a pepper must have 32 bytes or more")
                    .in_field("pepper"),
            );
        }
        // The keyed state is computed once: each keying costs two more compressions.
        let state = Hmac::new_from_slice(secret).map_err(|_| {
            Error::new(
                ErrorKind::Digest,
                "a pepper must be usable as a key of HMAC",
            )
            .in_field("pepper")
        })?;
        Ok(Self { version, state })
    }

    fn digest(&self, text: &[u8]) -> Digest {
        let kind = DigestKind::HmacSha256 {
            pepper: self.version,
        };
        let bytes = self
            .state
            .clone()
            .chain_update(text)
            .finalize()
            .into_bytes();
        Digest::new(kind, bytes.into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The peppers in use: the current one for new digests, retired ones for existing
/// digests.
///
/// If the ring is empty, digests are plain SHA-256.
///
/// ```
/// use keystile::{Pepper, PepperRing};
/// let ring = PepperRing::new(Pepper::new(2, &[2; 32])?).with_retired(Pepper::new(1, &[1; 32])?)?;
/// assert!(Pepper::new(3, b"short").is_err());
/// assert!(ring.with_retired(Pepper::new(2, &[3; 32])?).is_err(), "version 2 is taken");
///
/// // A first pepper is known everywhere before it is current anywhere.
/// let staged = PepperRing::new(Pepper::new(1, &[1; 32])?).without_current();
/// assert_eq!(staged.digest(b"key"), PepperRing::none().digest(b"key"));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PepperRing {
    /// The current pepper first, if there is one.
    peppers: Vec<Pepper>,
    /// Whether none of the peppers is the current one.
    is_staged: bool,
}

impl PepperRing {
    /// An empty ring: digests are plain SHA-256.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            peppers: Vec::new(),
            is_staged: false,
        }
    }

    /// A ring with `current` as its current pepper.
    #[must_use]
    pub fn new(current: Pepper) -> Self {
        Self {
            peppers: Vec::from([current]),
            is_staged: false,
        }
    }

    /// The same peppers, of which none is the current one: existing digests are checked as
    /// before, new digests are plain SHA-256, and no digest is reported as outdated.
    ///
    /// So a first pepper can be known to every process before one of them makes digests
    /// with it.
    #[must_use]
    pub fn without_current(mut self) -> Self {
        self.is_staged = true;
        self
    }

    /// The versions of the peppers, the current one first if there is one.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.peppers.iter().map(|pepper| pepper.version)
    }

    /// Adds a retired pepper, under which existing digests were made.
    ///
    /// # Errors
    /// [`ErrorKind::Digest`] if its version is taken, if the ring is full with eight
    /// peppers, or if the ring has no current pepper.
    pub fn with_retired(mut self, pepper: Pepper) -> Result<Self, Error> {
        let expected = if self.peppers.is_empty() {
            "a pepper ring must begin with its current pepper"
        } else if self.peppers.len() >= PEPPERS_MAX {
            "a pepper ring must have at most 8 peppers"
        } else if self.peppers.iter().any(|p| p.version == pepper.version) {
            "each pepper of a ring must have a different version"
        } else {
            self.peppers.push(pepper);
            return Ok(self);
        };
        Err(Error::new(ErrorKind::Digest, expected).in_field("peppers"))
    }

    /// The digest for a new record.
    #[must_use]
    pub fn digest(&self, text: &[u8]) -> Digest {
        self.current()
            .map_or_else(|| Digest::sha256(text), |pepper| pepper.digest(text))
    }

    fn current(&self) -> Option<&Pepper> {
        self.peppers.first().filter(|_| !self.is_staged)
    }

    /// Every digest that a stored record of this key may have, the current kind first.
    pub(crate) fn candidates(&self, text: &[u8]) -> impl Iterator<Item = Digest> {
        let plain = |now: bool| now.then(|| Digest::sha256(text)).into_iter();
        let peppered = self.peppers.iter().map(|pepper| pepper.digest(text));
        plain(self.is_staged)
            .chain(peppered)
            .chain(plain(!self.is_staged))
    }

    /// Whether `stored` is the digest of `text`.
    ///
    /// If nothing is stored, or its pepper is not in the ring, it still computes and
    /// compares a digest, and returns false.
    pub(crate) fn proves(&self, text: &[u8], stored: Option<&Digest>) -> bool {
        let presented = match stored.map_or_else(|| self.kind(), Digest::kind) {
            DigestKind::Sha256 => Digest::sha256(text),
            DigestKind::HmacSha256 { pepper } => self
                .peppers
                .iter()
                .find(|p| p.version == pepper)
                .map_or_else(|| self.digest(text), |pepper| pepper.digest(text)),
        };
        // A comparison with the dummy never proves a key; it is made so that the work is
        // the same.
        const DUMMY: Digest = Digest::new(DigestKind::Sha256, [0; 32]);
        let equal = presented == *stored.unwrap_or(&DUMMY);
        equal & stored.is_some()
    }

    /// How new digests are made.
    fn kind(&self) -> DigestKind {
        self.current()
            .map_or(DigestKind::Sha256, |pepper| DigestKind::HmacSha256 {
                pepper: pepper.version,
            })
    }

    /// Whether a record with this digest should get a new one. In a ring without a current
    /// pepper none should: another process may have its first one already.
    pub(crate) fn is_outdated(&self, stored: &Digest) -> bool {
        !self.is_staged && stored.kind != self.kind()
    }

    /// Whether the ring can check digests of this kind at all.
    pub(crate) fn knows(&self, kind: DigestKind) -> bool {
        match kind {
            DigestKind::Sha256 => true,
            DigestKind::HmacSha256 { pepper } => self.peppers.iter().any(|p| p.version == pepper),
        }
    }
}

/// The text form, for stores that keep digests as text.
impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        alloc::format!("{digest}")
    }
}
