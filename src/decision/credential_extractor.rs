//! Extracts the credential from a request: a pure function over header names and values.

use alloc::boxed::Box;

#[cfg(feature = "basic")]
use base64ct::{Base64, Encoding};
#[cfg(feature = "basic")]
use zeroize::Zeroize;

use crate::decision::carriers::{AUTHORIZATION, Carriers};
use crate::decision::cause::Cause;
use crate::decision::credential::Credential;
use crate::decision::credential_sources::{
    CredentialSources, Presented, VALUE_BYTES_MAX, is_blank,
};
use crate::decision::denial::Denial;
use crate::decision::verifier::Verifier;
use crate::key::format::KEY_TEXT_BYTES_MAX;
use crate::key::shape::KeyShape;

/// Extracts the credential from a request's headers.
///
/// It knows the formats of the service's keys. A value that does not have the shape of a key
/// is *alien*: a user's token beside the key, or what a proxy has added. The shape of a key is
/// its prefix, lengths and alphabet, but not its check, so a key with a typo is not alien.
///
/// If exactly one value is not alien, it is the key, whatever is beside it. The same key twice
/// counts as one.
///
/// ```
/// use keystile::*;
/// let format = KeyFormat::structured("acme")?;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let other = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let extractor = CredentialExtractor::new(CredentialSources::new(), &Verifier::new(format));
/// let read = |headers: &[(&str, &str)]| {
///     let fields = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
///     extractor.extract(fields).map(|credential| credential.as_bytes().to_vec())
/// };
/// let (key, jwt) = (issued.key.expose(), "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln");
/// assert_eq!(read(&[("x-api-key", key), ("authorization", jwt)]).unwrap(), key.as_bytes());
///
/// let two = read(&[("x-api-key", key), ("X-API-Key", other.key.expose())]).unwrap_err();
/// assert_eq!(two.code(), DenialCode::ConflictingCredentials);
/// let only_alien = read(&[("authorization", jwt)]).unwrap_err();
/// assert_eq!(only_alien.code(), DenialCode::InvalidKey);
/// assert!(!only_alien.is_guess(), "the header may carry other tokens");
/// assert!(read(&[("x-api-key", "eyJhbGciOi")]).unwrap_err().is_guess());
/// assert_eq!(read(&[]).unwrap_err().code(), DenialCode::MissingCredential);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CredentialExtractor {
    sources: CredentialSources,
    /// `None` takes any text for a key.
    shapes: Option<Box<[KeyShape]>>,
}

impl CredentialExtractor {
    /// Reads these sources, and takes for a key what has the shape of one of the verifier's
    /// formats.
    #[must_use]
    pub fn new(sources: CredentialSources, verifier: &Verifier) -> Self {
        Self {
            sources,
            shapes: Some(verifier.formats().iter().map(KeyShape::of).collect()),
        }
    }

    /// Reads these sources, and takes any visible text for a key: for programs that do not know
    /// the formats. Two different texts are then two keys, and refused.
    #[must_use]
    pub const fn any_text(sources: CredentialSources) -> Self {
        Self {
            sources,
            shapes: None,
        }
    }

    /// The header fields that are read.
    #[must_use]
    pub const fn sources(&self) -> &CredentialSources {
        &self.sources
    }

    /// Returns the one credential in the headers, with [the headers that carried
    /// it](Credential::carriers).
    ///
    /// Names are compared case-insensitively, and `_` is not `-`. An empty value counts as no
    /// credential. The order of the headers does not matter.
    ///
    /// # Errors
    /// A [`Denial`]: [`Cause::MissingCredential`] if there is none,
    /// [`Cause::ConflictingCredentials`] if there are two different ones, and if there are only
    /// alien values, [`Cause::Malformed`] if one of them is in a header that carries nothing but
    /// keys, otherwise [`Cause::Alien`]. Values with bytes that are not visible ASCII, and
    /// values that are too long, are alien; the latter are not scanned.
    // store-forwarding stall: inline, or headers are copied (see ARCHITECTURE.md)
    #[inline(always)]
    pub fn extract<'h, I>(&self, headers: I) -> Result<Credential<'h>, Denial>
    where
        I: IntoIterator<Item = (&'h [u8], &'h [u8])>,
    {
        // A borrowed key stays in two registers from header to header; a decoded one does
        // not.
        let mut bare: Option<&'h [u8]> = None;
        #[cfg(feature = "basic")]
        let mut decoded: Option<Credential<'h>> = None;
        let (mut carriers, mut aliens) = (Carriers::default(), 0);
        for (name, value) in headers {
            let Some((header, presented)) = self.sources.presented(name, value) else {
                continue;
            };
            match presented {
                Presented::Bare(value) => match self.read(value) {
                    Some([]) => carriers.add_other(header),
                    Some(value) if bare.is_none_or(|first| first == value) => {
                        bare = Some(value);
                        carriers.add_key(header);
                    }
                    Some(_) => return Err(Denial::new(Cause::ConflictingCredentials)),
                    None => {
                        aliens |= header;
                        carriers.add_other(header);
                    }
                },
                #[cfg(feature = "basic")]
                Presented::Basic(value) => match self.read_basic(value) {
                    Ok(None) => carriers.add_other(header),
                    Ok(Some(user)) if is_same(decoded.as_ref(), user.as_bytes()) => {
                        decoded = Some(user);
                        carriers.add_key(header);
                    }
                    Ok(Some(_)) => return Err(Denial::new(Cause::ConflictingCredentials)),
                    Err(Alien) => {
                        aliens |= header;
                        carriers.add_other(header);
                    }
                },
                Presented::Other => carriers.add_other(header),
            }
            #[cfg(feature = "basic")]
            if let Some(bare) = bare
                && !is_same(decoded.as_ref(), bare)
            {
                return Err(Denial::new(Cause::ConflictingCredentials));
            }
        }
        if let Some(bare) = bare {
            return Ok(Credential::borrowed(bare, carriers));
        }
        #[cfg(feature = "basic")]
        if let Some(decoded) = decoded {
            return Ok(decoded.with_carriers(carriers));
        }
        Err(Denial::new(match aliens {
            0 => Cause::MissingCredential,
            AUTHORIZATION => Cause::Alien,
            _ => Cause::Malformed,
        }))
    }

    /// Whether this header field presents what may be a key of the service. Where the headers
    /// of a request had one credential, these are the fields that carried it.
    #[must_use]
    pub fn carries_key(&self, name: &[u8], value: &[u8]) -> bool {
        self.extract([(name, value)]).is_ok()
    }

    /// A value without the white space around it, or `None` if it is alien.
    #[inline]
    fn read<'h>(&self, value: &'h [u8]) -> Option<&'h [u8]> {
        // Nearly every key has no white space around it.
        if self.may_be_key(value) {
            return Some(value);
        }
        self.read_padded(value)
    }

    /// The same for a value that is not a key as it is.
    #[inline(never)]
    fn read_padded<'h>(&self, value: &'h [u8]) -> Option<&'h [u8]> {
        if value.len() > VALUE_BYTES_MAX {
            return None;
        }
        let value = trim(value);
        (value.is_empty() || self.may_be_key(value)).then_some(value)
    }

    /// Whether a text has the shape of a key. One that is longer than any key is not scanned.
    #[inline]
    fn may_be_key(&self, text: &[u8]) -> bool {
        match &self.shapes {
            Some(shapes) => shapes.iter().any(|shape| shape.fits(text)),
            None => (1..=KEY_TEXT_BYTES_MAX).contains(&text.len()) && is_visible(text),
        }
    }

    /// RFC 7617: base64 of user, colon, password.
    #[cfg(feature = "basic")]
    #[inline(never)]
    fn read_basic<'h>(&self, value: &[u8]) -> Result<Option<Credential<'h>>, Alien> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Alien);
        }
        let mut bytes = [0; VALUE_BYTES_MAX];
        let value = trim(value);
        if value.is_empty() {
            return Ok(None);
        }
        let result = self.read_user(value, &mut bytes);
        bytes.zeroize();
        result
    }

    #[cfg(feature = "basic")]
    fn read_user<'h>(
        &self,
        value: &[u8],
        buffer: &mut [u8; VALUE_BYTES_MAX],
    ) -> Result<Option<Credential<'h>>, Alien> {
        let decoded = Base64::decode(value, buffer).map_err(|_| Alien)?;
        let user = decoded.split(|byte| *byte == b':').next();
        let user = user.filter(|user| user.len() < decoded.len());
        let user = user.ok_or(Alien)?;
        if user.is_empty() {
            return Ok(None);
        }
        if !self.may_be_key(user) {
            return Err(Alien);
        }
        Credential::decoded(user).map(Some).ok_or(Alien)
    }
}

/// A value that does not have the shape of a key.
#[cfg(feature = "basic")]
struct Alien;

/// Whether two credentials are the same, or there is only one.
#[cfg(feature = "basic")]
fn is_same(first: Option<&Credential<'_>>, other: &[u8]) -> bool {
    first.is_none_or(|first| first.as_bytes() == other)
}

/// The value without the optional white space around it, which does not include line
/// feeds.
const fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_blank(*last)
    {
        value = rest;
    }
    value
}

/// Whether all bytes are visible ASCII, testing eight at a time.
fn is_visible(value: &[u8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const BELOW: u64 = u64::from_ne_bytes([b'!'; 8]);
    // Each byte is tested by its high bit. The first value has it set for bytes that are
    // not ASCII; the second for bytes after the last visible character; the third for
    // bytes before the first one, or at least for the lowest of them, since nothing
    // borrows from it.
    let stray = |bytes: &[u8; 8]| {
        let bytes = u64::from_le_bytes(*bytes);
        bytes | bytes.wrapping_add(EACH) | bytes.wrapping_sub(BELOW)
    };
    let Some(last) = value.last_chunk() else {
        return value.iter().all(u8::is_ascii_graphic);
    };
    // The last eight bytes may overlap those before them.
    let chunks = value.as_chunks().0.iter();
    chunks.fold(stray(last), |strays, bytes| strays | stray(bytes)) & HIGH == 0
}
