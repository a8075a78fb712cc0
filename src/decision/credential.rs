//! Extracts the credential from a request: a pure function over header names and values.

use alloc::boxed::Box;
use core::fmt;

#[cfg(feature = "basic")]
use base64ct::{Base64, Encoding};
#[cfg(feature = "basic")]
use zeroize::Zeroize;

use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::error::{Error, ErrorKind};
use crate::key::format::KEY_TEXT_BYTES_MAX;

/// Longest header value, in bytes, that is read: a key, a scheme and room for spaces.
const VALUE_BYTES_MAX: usize = 2 * KEY_TEXT_BYTES_MAX;

/// Extracts the credential from a request's headers.
///
/// `X-API-Key` and `Authorization: Bearer` are always read. A custom header and the user
/// name of HTTP Basic are read if they are enabled. The query never is.
///
/// ```
/// use keystile::{CredentialExtractor, DenialCode};
/// let rules = CredentialExtractor::new();
/// let headers = [("Authorization", "bearer acme_live_…")];
/// let read = |headers: &[(&str, &str)]| {
///     rules
///         .extract(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
///         .map(|credential| credential.as_bytes().to_vec())
/// };
/// assert_eq!(read(&headers).unwrap_err().code(), DenialCode::InvalidKey, "not ASCII");
/// assert_eq!(read(&[("authorization", "bearer k1")]).unwrap(), b"k1");
/// assert_eq!(
///     read(&[("X-API-Key", "k1"), ("Authorization", "Bearer k2")]).unwrap_err().code(),
///     DenialCode::ConflictingCredentials,
/// );
/// assert_eq!(read(&[]).unwrap_err().code(), DenialCode::MissingCredential);
/// ```
#[derive(Clone, Debug, Default)]
pub struct CredentialExtractor {
    header: Option<Box<str>>,
    #[cfg(feature = "basic")]
    basic: bool,
}

/// The bytes of a presented credential, which it never prints.
///
/// ```
/// use keystile::{Cause, CredentialExtractor};
/// let rules = CredentialExtractor::new().with_header("X-Acme-Key")?;
/// let credential = rules.extract([(&b"x-acme-key"[..], &b"acme_live_1AbC"[..])]).unwrap();
/// assert_eq!(credential.as_bytes(), b"acme_live_1AbC");
/// assert!(!format!("{credential:?}").contains("acme_live"));
/// let refused = rules.extract([(&b"x-acme-key"[..], &b"two words"[..])]).unwrap_err();
/// assert_eq!(refused.cause(), Cause::Malformed);
/// # Ok::<(), keystile::Error>(())
/// ```
pub struct Credential<'h>(Bytes<'h>);

#[cfg_attr(
    feature = "basic",
    expect(
        clippy::large_enum_variant,
        reason = "a decision makes no heap allocation"
    )
)]
enum Bytes<'h> {
    Borrowed(&'h [u8]),
    #[cfg(feature = "basic")]
    Decoded {
        bytes: [u8; KEY_TEXT_BYTES_MAX],
        len: usize,
    },
}

impl CredentialExtractor {
    /// Reads `X-API-Key` and `Authorization: Bearer`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            header: None,
            #[cfg(feature = "basic")]
            basic: false,
        }
    }

    /// Also reads this header.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if it is not a header name (RFC 9110, section 5.1), or if it
    /// is `Authorization` or `Cookie`, whose values are not bare keys.
    pub fn with_header(mut self, name: &str) -> Result<Self, Error> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let legal = (1..=64).contains(&name.len())
            && name.bytes().all(token)
            && !name.eq_ignore_ascii_case("authorization")
            && !name.eq_ignore_ascii_case("cookie");
        if !legal {
            return Err(Error::new(
                ErrorKind::Name,
                "a key header must be 1 to 64 token characters, and not Authorization or Cookie",
            ));
        }
        self.header = Some(name.into());
        Ok(self)
    }

    /// Also reads the user name of `Authorization: Basic`, as `curl -u KEY:` sends it.
    /// The password is ignored.
    #[cfg(feature = "basic")]
    #[must_use]
    pub fn with_basic(mut self) -> Self {
        self.basic = true;
        self
    }

    /// Returns the one credential in the headers.
    ///
    /// Names are compared case-insensitively, and `_` is not `-`. The same key twice
    /// counts as one. An empty value counts as no credential.
    ///
    /// # Errors
    /// A [`Denial`]: [`Cause::MissingCredential`] if there is none,
    /// [`Cause::ConflictingCredentials`] if there are two different ones, or
    /// [`Cause::Malformed`] if a value contains bytes that are not visible ASCII, or is
    /// too long. Values that are too long are not scanned.
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
        for (name, value) in headers {
            match self.carried(name, value) {
                None => continue,
                Some(Carried::Bare(value)) => match checked(value) {
                    Ok([]) => continue,
                    Ok(value) if bare.is_none_or(|first| first == value) => bare = Some(value),
                    Ok(_) => return Err(Denial::new(Cause::ConflictingCredentials)),
                    Err(cause) => return Err(Denial::new(cause)),
                },
                #[cfg(feature = "basic")]
                Some(Carried::Basic(value)) => match basic(value) {
                    Ok(None) => continue,
                    Ok(Some(user)) if is_same(decoded.as_ref(), &user) => decoded = Some(user),
                    Ok(Some(_)) => return Err(Denial::new(Cause::ConflictingCredentials)),
                    Err(cause) => return Err(Denial::new(cause)),
                },
            }
            #[cfg(feature = "basic")]
            if let Some(bare) = bare
                && !is_same(decoded.as_ref(), &Credential(Bytes::Borrowed(bare)))
            {
                return Err(Denial::new(Cause::ConflictingCredentials));
            }
        }
        let found = bare.map(|bare| Credential(Bytes::Borrowed(bare)));
        #[cfg(feature = "basic")]
        let found = found.or(decoded);
        found.ok_or(Denial::new(Cause::MissingCredential))
    }

    /// The value in a header that carries credentials, before it is validated.
    #[inline]
    fn carried<'h>(&self, name: &[u8], value: &'h [u8]) -> Option<Carried<'h>> {
        // The case is usually right already, and that is faster to test.
        let is = |own: &str| name == own.as_bytes() || name.eq_ignore_ascii_case(own.as_bytes());
        if is("x-api-key") || self.header.as_deref().is_some_and(is) {
            return Some(Carried::Bare(value));
        }
        if is("authorization") {
            return self.authorization(value);
        }
        None
    }

    fn authorization<'h>(&self, value: &'h [u8]) -> Option<Carried<'h>> {
        // The scheme is checked before the length: a long value with another scheme is
        // not an error.
        let value = trim_start_within(value, VALUE_BYTES_MAX);
        if let Some(token) = strip_scheme(value, b"bearer") {
            return Some(Carried::Bare(token));
        }
        #[cfg(feature = "basic")]
        if self.basic {
            return strip_scheme(value, b"basic").map(Carried::Basic);
        }
        None
    }
}

/// A header's value, by its scheme.
enum Carried<'h> {
    /// The key itself, with white space around it.
    Bare(&'h [u8]),
    /// The base64 text of user name and password.
    #[cfg(feature = "basic")]
    Basic(&'h [u8]),
}

impl Credential<'_> {
    /// The bytes, for [`Verifier::parse`](crate::Verifier::parse).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Borrowed(bytes) => bytes,
            #[cfg(feature = "basic")]
            Bytes::Decoded { bytes, len } => bytes.get(..*len).unwrap_or_default(),
        }
    }
}

#[cfg(feature = "basic")]
impl Drop for Credential<'_> {
    fn drop(&mut self) {
        if let Bytes::Decoded { bytes, .. } = &mut self.0 {
            bytes.zeroize();
        }
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Trims white space from the start, but scans at most `bytes_max` bytes.
fn trim_start_within(value: &[u8], bytes_max: usize) -> &[u8] {
    let blanks = value
        .iter()
        .take(bytes_max)
        .take_while(|b| is_blank(**b))
        .count();
    value.get(blanks..).unwrap_or_default()
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

/// RFC 9110, section 5.6.3: optional white space is spaces and tabs.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
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

/// What follows `scheme` and at least one space, or `None` if the scheme is another.
fn strip_scheme<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (own, rest) = value.split_at_checked(scheme.len())?;
    let named = own.eq_ignore_ascii_case(scheme) && rest.first().is_none_or(|b| is_blank(*b));
    named.then_some(rest)
}

/// A value without the white space around it, if it may be a key or is empty.
#[inline]
fn checked(value: &[u8]) -> Result<&[u8], Cause> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Cause::Malformed);
    }
    let value = trim(value);
    let legal = value.len() <= KEY_TEXT_BYTES_MAX && is_visible(value);
    legal.then_some(value).ok_or(Cause::Malformed)
}

/// RFC 7617: base64 of user, colon, password.
#[cfg(feature = "basic")]
fn basic<'h>(value: &[u8]) -> Result<Option<Credential<'h>>, Cause> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Cause::Malformed);
    }
    let mut bytes = [0; VALUE_BYTES_MAX];
    let value = trim(value);
    if value.is_empty() {
        return Ok(None);
    }
    let result = basic_user(value, &mut bytes);
    bytes.zeroize();
    result
}

#[cfg(feature = "basic")]
fn basic_user<'h>(
    value: &[u8],
    buffer: &mut [u8; VALUE_BYTES_MAX],
) -> Result<Option<Credential<'h>>, Cause> {
    let decoded = Base64::decode(value, buffer).map_err(|_| Cause::Malformed)?;
    let user = decoded.split(|byte| *byte == b':').next();
    let user = user.filter(|user| user.len() < decoded.len());
    let user = user.ok_or(Cause::Malformed)?;
    if user.is_empty() {
        return Ok(None);
    }
    let mut bytes = [0; KEY_TEXT_BYTES_MAX];
    let len = user.len();
    match bytes.get_mut(..len) {
        Some(room) if is_visible(user) => room.copy_from_slice(user),
        _ => return Err(Cause::Malformed),
    }
    Ok(Some(Credential(Bytes::Decoded { bytes, len })))
}

/// Whether two credentials are the same, or there is only one.
#[cfg(feature = "basic")]
fn is_same(first: Option<&Credential<'_>>, other: &Credential<'_>) -> bool {
    first.is_none_or(|first| first.as_bytes() == other.as_bytes())
}
