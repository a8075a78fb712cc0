//! Where a credential is read from: a pure function over header names and bytes.

use alloc::boxed::Box;
use core::fmt;

#[cfg(feature = "basic")]
use base64ct::{Base64, Encoding};
#[cfg(feature = "basic")]
use zeroize::Zeroize;

use crate::decision::{Cause, Denial};
use crate::error::{Error, ErrorKind};
use crate::format::KEY_TEXT_BYTES_MAX;

/// Longest header value that is looked into. A key, a scheme and room for spaces.
const VALUE_BYTES_MAX: usize = 2 * KEY_TEXT_BYTES_MAX;

/// Which headers carry a credential.
///
/// `X-API-Key` and `Authorization: Bearer` always do; a header of the user's choice and
/// the user name of HTTP Basic where asked for. The query never does.
///
/// ```
/// use keystile::{CredentialRules, DenialCode};
/// let rules = CredentialRules::new();
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
pub struct CredentialRules {
    header: Option<Box<str>>,
    #[cfg(feature = "basic")]
    basic: bool,
}

/// The bytes of a presented credential. It does not print them.
pub struct Credential<'h>(Bytes<'h>);

#[cfg_attr(
    feature = "basic",
    expect(
        clippy::large_enum_variant,
        reason = "a verdict makes no heap allocation"
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

impl CredentialRules {
    /// `X-API-Key` and `Authorization: Bearer`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            header: None,
            #[cfg(feature = "basic")]
            basic: false,
        }
    }

    /// Reads this header too.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if it is not a header's name (RFC 9110, section 5.1), or is
    /// `Authorization` or `Cookie`, whose values are not bare keys.
    pub fn with_header(mut self, name: &str) -> Result<Self, Error> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let legal = (1..=64).contains(&name.len())
            && name.bytes().all(token)
            && !name.eq_ignore_ascii_case("authorization")
            && !name.eq_ignore_ascii_case("cookie");
        if !legal {
            return Err(Error::new(
                ErrorKind::Name,
                "a key header is 1 to 64 token characters, and not Authorization or Cookie",
            ));
        }
        self.header = Some(name.into());
        Ok(self)
    }

    /// Reads the user name of `Authorization: Basic` too, as `curl -u KEY:` sends it. A
    /// password beside it is not looked at.
    #[cfg(feature = "basic")]
    #[must_use]
    pub fn with_basic(mut self) -> Self {
        self.basic = true;
        self
    }

    /// The one credential among the headers.
    ///
    /// Names are compared without regard to case, and `_` is not `-`. The same key twice
    /// is one key. An empty value is none.
    ///
    /// # Errors
    /// A [`Denial`]: [`Cause::MissingCredential`], [`Cause::ConflictingCredentials`] for
    /// two different ones, or [`Cause::Malformed`] for bytes that are not visible ASCII
    /// and for values that are too long, which are not looked through.
    pub fn extract<'h, I>(&self, headers: I) -> Result<Credential<'h>, Denial>
    where
        I: IntoIterator<Item = (&'h [u8], &'h [u8])>,
    {
        let mut found: Option<Credential<'h>> = None;
        for (name, value) in headers {
            let Some(presented) = self.read(name, value) else {
                continue;
            };
            let presented = presented?;
            match &found {
                None => found = Some(presented),
                Some(first) if first.as_bytes() == presented.as_bytes() => {}
                Some(_) => return Err(Denial::new(Cause::ConflictingCredentials)),
            }
        }
        found.ok_or(Denial::new(Cause::MissingCredential))
    }

    fn read<'h>(&self, name: &[u8], value: &'h [u8]) -> Option<Result<Credential<'h>, Denial>> {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        let bare = is("x-api-key") || self.header.as_deref().is_some_and(is);
        if !bare && !is("authorization") {
            return None;
        }
        if !bare {
            // The scheme is looked at before the length: a long ticket of another scheme
            // is none of ours.
            let value = trim_start_within(value, VALUE_BYTES_MAX);
            if let Some(token) = strip_scheme(value, b"bearer") {
                return borrowed(token);
            }
            #[cfg(feature = "basic")]
            if self.basic {
                return strip_scheme(value, b"basic").and_then(basic);
            }
            return None;
        }
        borrowed(value)
    }
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

/// Cuts white space off the start, looking at no more than so many bytes.
fn trim_start_within(value: &[u8], bytes_max: usize) -> &[u8] {
    let blanks = value
        .iter()
        .take(bytes_max)
        .take_while(|b| is_blank(**b))
        .count();
    value.get(blanks..).unwrap_or_default()
}

/// The value without the optional white space around it: a line feed is none.
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

/// Whether all bytes are visible ASCII; free of branches on them, so that it vectorises.
fn is_visible(value: &[u8]) -> bool {
    value
        .iter()
        .fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// What follows `scheme` and at least one space, or nothing where the scheme is another.
fn strip_scheme<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (own, rest) = value.split_at_checked(scheme.len())?;
    let named = own.eq_ignore_ascii_case(scheme) && rest.first().is_none_or(|b| is_blank(*b));
    named.then_some(rest)
}

/// A value that is the key itself; an empty one is none.
fn borrowed(value: &[u8]) -> Option<Result<Credential<'_>, Denial>> {
    if value.len() > VALUE_BYTES_MAX {
        return Some(Err(Denial::new(Cause::Malformed)));
    }
    let value = trim(value);
    if value.is_empty() {
        return None;
    }
    let legal = value.len() <= KEY_TEXT_BYTES_MAX && is_visible(value);
    Some(if legal {
        Ok(Credential(Bytes::Borrowed(value)))
    } else {
        Err(Denial::new(Cause::Malformed))
    })
}

#[cfg(feature = "basic")]
/// RFC 7617: base64 of user, colon, password.
fn basic<'h>(value: &[u8]) -> Option<Result<Credential<'h>, Denial>> {
    if value.len() > VALUE_BYTES_MAX {
        return Some(Err(Denial::new(Cause::Malformed)));
    }
    let mut bytes = [0; VALUE_BYTES_MAX];
    let value = trim(value);
    if value.is_empty() {
        return None;
    }
    let result = basic_user(value, &mut bytes);
    bytes.zeroize();
    result
}

#[cfg(feature = "basic")]
fn basic_user<'h>(
    value: &[u8],
    buffer: &mut [u8; VALUE_BYTES_MAX],
) -> Option<Result<Credential<'h>, Denial>> {
    let malformed = Some(Err(Denial::new(Cause::Malformed)));
    let Ok(decoded) = Base64::decode(value, buffer) else {
        return malformed;
    };
    let Some(user) = decoded
        .split(|byte| *byte == b':')
        .next()
        .filter(|user| user.len() < decoded.len())
    else {
        return malformed;
    };
    if user.is_empty() {
        return None;
    }
    let mut bytes = [0; KEY_TEXT_BYTES_MAX];
    let len = user.len();
    match bytes.get_mut(..len) {
        Some(place) if is_visible(user) => place.copy_from_slice(user),
        _ => return malformed,
    }
    Some(Ok(Credential(Bytes::Decoded { bytes, len })))
}
