//! Which header fields a service reads keys from.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::decision::carriers::{AUTHORIZATION, Carriers, FIRST_OTHER, X_API_KEY};
use crate::error::{Error, ErrorKind};

/// Most headers besides `X-API-Key` whose value is a key.
pub const KEY_HEADERS_MAX: usize = 8;
/// Most schemes of `Authorization` besides `Bearer` and `Basic`.
pub const KEY_SCHEMES_MAX: usize = 8;
/// Longest name of a header or of a scheme, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Which header fields a service reads keys from.
///
/// By default these are `X-API-Key`, and `Authorization` with the scheme `Bearer`. Others can
/// be added, and the defaults can be left out. The query is never read.
///
/// ```
/// use keystile::CredentialSources;
/// let sources = CredentialSources::new().with_scheme("Api-Key")?;
/// assert!(sources.names().eq(["X-API-Key", "Authorization"]));
///
/// let one = CredentialSources::none().with_header("X-Acme-Key")?;
/// assert!(one.names().eq(["X-Acme-Key"]), "Authorization is not read at all");
/// assert!(one.clone().with_header("Cookie").is_err(), "its value is not a key");
/// assert!(one.with_scheme("two words").is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSources {
    // The defaults are flags: a name that is known when this is compiled is compared faster.
    x_api_key: bool,
    bearer: bool,
    basic: bool,
    headers: Vec<Box<str>>,
    schemes: Vec<Box<str>>,
}

impl CredentialSources {
    /// `X-API-Key` and `Authorization: Bearer`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            x_api_key: true,
            bearer: true,
            basic: false,
            headers: Vec::new(),
            schemes: Vec::new(),
        }
    }

    /// No source, to which others are added. Without any, every request lacks a credential.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            x_api_key: false,
            bearer: false,
            basic: false,
            headers: Vec::new(),
            schemes: Vec::new(),
        }
    }

    /// Also reads this header, whose value must be the key and nothing else.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if it is not a header name of at most 64 bytes (RFC 9110, section
    /// 5.1), if it is `Authorization` or `Cookie`, whose values are not bare keys, or if it is
    /// the ninth besides `X-API-Key`.
    pub fn with_header(mut self, name: &str) -> Result<Self, Error> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if !is_token(name) || is("authorization") || is("cookie") {
            return Err(Error::new(
                ErrorKind::Name,
                "a key header must be 1 to 64 token characters, and not Authorization or Cookie",
            )
            .in_field("headers"));
        }
        if is("x-api-key") {
            self.x_api_key = true;
        } else if !self.headers.iter().any(|own| is(own)) {
            if self.headers.len() >= KEY_HEADERS_MAX {
                return Err(Error::new(
                    ErrorKind::Name,
                    "there must be at most 8 key headers besides X-API-Key",
                )
                .in_field("headers"));
            }
            self.headers.push(name.into());
        }
        Ok(self)
    }

    /// Also reads `Authorization` with this scheme, in any case, such as `Api-Key` or `Token`.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] if it is not a token of at most 64 bytes (RFC 9110, section 11.1),
    /// if it is `Basic`, whose value is not a bare key, or if it is the ninth besides `Bearer`.
    pub fn with_scheme(mut self, name: &str) -> Result<Self, Error> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if !is_token(name) || is("basic") {
            return Err(Error::new(
                ErrorKind::Name,
                "a scheme of Authorization must be 1 to 64 token characters, and not Basic",
            )
            .in_field("schemes"));
        }
        if is("bearer") {
            self.bearer = true;
        } else if !self.schemes.iter().any(|own| is(own)) {
            if self.schemes.len() >= KEY_SCHEMES_MAX {
                return Err(Error::new(
                    ErrorKind::Name,
                    "there must be at most 8 schemes besides Bearer",
                )
                .in_field("schemes"));
            }
            self.schemes.push(name.into());
        }
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

    /// Whether nothing is read, so that every request lacks a credential.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.x_api_key && self.headers.is_empty() && !self.reads_authorization()
    }

    /// The headers that are read. If it is not known which of them carried a key, all of them
    /// have to be kept from what comes after.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let x_api_key = self.x_api_key.then_some("X-API-Key");
        let authorization = self.reads_authorization().then_some("Authorization");
        let others = self.headers.iter().map(|name| &**name);
        x_api_key.into_iter().chain(authorization).chain(others)
    }

    /// The headers that carried a key, as an extraction has found.
    ///
    /// ```
    /// use keystile::{CredentialExtractor, CredentialSources};
    /// let sources = CredentialSources::new();
    /// let extractor = CredentialExtractor::any_text(sources.clone());
    /// let field = (&b"authorization"[..], &b"Bearer k1"[..]);
    /// let carriers = extractor.extract([field]).unwrap().carriers();
    /// assert!(sources.names_of(carriers).eq(["Authorization"]));
    /// ```
    pub fn names_of(&self, carriers: Carriers) -> impl Iterator<Item = &str> {
        let carried = move |bit: u16| carriers.has(bit);
        let x_api_key = carried(X_API_KEY).then_some("X-API-Key");
        let authorization = carried(AUTHORIZATION).then_some("Authorization");
        let others = self.headers.iter().enumerate();
        let others = others.filter(move |&(at, _)| carried(other_bit(at)));
        let others = others.map(|(_, name)| &**name);
        x_api_key.into_iter().chain(authorization).chain(others)
    }

    /// The schemes of `Authorization` that are read.
    ///
    /// ```
    /// use keystile::CredentialSources;
    /// let sources = CredentialSources::new().with_scheme("Api-Key")?;
    /// assert!(sources.schemes().eq(["Bearer", "Api-Key"]));
    /// # Ok::<(), keystile::Error>(())
    /// ```
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        let bearer = self.bearer.then_some("Bearer");
        let basic = self.basic.then_some("Basic");
        let others = self.schemes.iter().map(|name| &**name);
        bearer.into_iter().chain(others).chain(basic)
    }

    const fn reads_authorization(&self) -> bool {
        self.bearer || self.basic || !self.schemes.is_empty()
    }

    /// What a field presents, and the bit of its header; `None` if that is not read.
    // Inline, since most headers are not read, which their length shows.
    #[inline(always)]
    pub(crate) fn presented<'h>(
        &self,
        name: &[u8],
        value: &'h [u8],
    ) -> Option<(u16, Presented<'h>)> {
        // The case is usually right already, and that is faster to test.
        let is = |own: &str| name == own.as_bytes() || name.eq_ignore_ascii_case(own.as_bytes());
        if is("x-api-key") {
            return self
                .x_api_key
                .then_some((X_API_KEY, Presented::Bare(value)));
        }
        if is("authorization") {
            let reads = self.reads_authorization();
            return reads.then(|| (AUTHORIZATION, self.by_scheme(value)));
        }
        if self.headers.is_empty() {
            return None;
        }
        self.in_other(name, value)
    }

    /// The same for the headers that were added.
    #[inline(never)]
    fn in_other<'h>(&self, name: &[u8], value: &'h [u8]) -> Option<(u16, Presented<'h>)> {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        let at = self.headers.iter().position(|own| is(own))?;
        Some((other_bit(at), Presented::Bare(value)))
    }

    #[inline(never)]
    fn by_scheme<'h>(&self, value: &'h [u8]) -> Presented<'h> {
        // Only so many blanks are passed over before the scheme: a value of any length costs
        // no more.
        let value = trim_start_within(value, VALUE_BYTES_MAX);
        if self.bearer
            && let Some(token) = strip_scheme(value, b"bearer")
        {
            return Presented::Bare(token);
        }
        let mut own = self.schemes.iter();
        if let Some(token) = own.find_map(|scheme| strip_scheme(value, scheme.as_bytes())) {
            return Presented::Bare(token);
        }
        #[cfg(feature = "basic")]
        if self.basic
            && let Some(token) = strip_scheme(value, b"basic")
        {
            return Presented::Basic(token);
        }
        Presented::Other
    }
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self::new()
    }
}

/// What a field of a header that is read presents.
pub(crate) enum Presented<'h> {
    /// A key or anything else, with white space around it.
    Bare(&'h [u8]),
    /// The base64 text of user name and password.
    #[cfg(feature = "basic")]
    Basic(&'h [u8]),
    /// A scheme of `Authorization` that is not read.
    Other,
}

/// Longest header value, in bytes, that is read: a key, a scheme and room for spaces.
pub(crate) const VALUE_BYTES_MAX: usize = 2 * crate::key::format::KEY_TEXT_BYTES_MAX;

fn other_bit(at: usize) -> u16 {
    u32::try_from(at)
        .ok()
        .and_then(|at| FIRST_OTHER.checked_shl(at))
        .unwrap_or(0)
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal)
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

/// What follows `scheme` and one space, or `None` if the scheme is another.
fn strip_scheme<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (own, rest) = value.split_at_checked(scheme.len())?;
    let rest = match rest {
        [] => rest,
        [blank, rest @ ..] if is_blank(*blank) => rest,
        _ => return None,
    };
    own.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// RFC 9110, section 5.6.3: optional white space is spaces and tabs.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
