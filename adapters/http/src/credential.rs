//! The headers that a key is read from, and how it is kept from what comes after.

use core::cell::Cell;

use http::HeaderMap;
use http::header::{AUTHORIZATION, Entry, HeaderName, HeaderValue};
use keystile::{Credential, CredentialExtractor, Denial, Error};

/// The headers that a key is read from: `X-API-Key` and `Authorization: Bearer`, and others
/// if they are asked for.
///
/// ```
/// use http::HeaderMap;
/// use keystile::DenialCode;
/// use keystile_http::CredentialHeaders;
/// let credentials = CredentialHeaders::new().with_header("X-Acme-Key")?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-acme-key", "acme_live_1".parse()?);
/// headers.insert("cookie", "theme=dark".parse()?);
/// let (credential, carriers) = credentials.extract(&headers).unwrap();
/// assert_eq!(credential.as_bytes(), b"acme_live_1");
/// drop(credential);
///
/// credentials.remove(&mut headers, carriers);
/// assert_eq!(headers.len(), 1, "the cookie");
/// let denial = credentials.extract(&headers).unwrap_err();
/// assert_eq!(denial.code(), DenialCode::MissingCredential);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CredentialHeaders {
    extractor: CredentialExtractor,
    custom: Option<HeaderName>,
    reads_basic: bool,
}

/// Which headers [`CredentialHeaders::extract`] saw, so that
/// [`CredentialHeaders::remove`] need not look for them again: that costs more.
///
/// ```
/// use http::HeaderMap;
/// use keystile_http::CredentialHeaders;
///
/// let credentials = CredentialHeaders::new();
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", "acme_live_1".parse()?);
/// headers.insert("authorization", "Digest username=\"ops\"".parse()?);
/// let (_, carriers) = credentials.extract(&headers).unwrap();
/// credentials.remove(&mut headers, carriers);
/// assert!(!headers.contains_key("x-api-key"));
/// assert!(headers.contains_key("authorization"), "it carries no key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Carriers {
    has_authorization: bool,
}

impl CredentialHeaders {
    /// `X-API-Key` and `Authorization: Bearer`.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            extractor: CredentialExtractor::new(),
            custom: None,
            reads_basic: false,
        }
    }

    /// Reads this header too.
    ///
    /// # Errors
    /// As [`CredentialExtractor::with_header`].
    pub fn with_header(mut self, name: &str) -> Result<Self, Error> {
        self.extractor = self.extractor.with_header(name)?;
        self.custom = HeaderName::try_from(name).ok();
        Ok(self)
    }

    /// Reads the user name of HTTP Basic too, as `curl -u KEY:` sends it.
    #[cfg(feature = "basic")]
    #[must_use]
    pub fn with_basic(mut self) -> Self {
        self.extractor = self.extractor.with_basic();
        self.reads_basic = true;
        self
    }

    /// The one key among the headers.
    ///
    /// # Errors
    /// As [`CredentialExtractor::extract`].
    // store-forwarding stall: build in place (see ARCHITECTURE.md)
    #[inline(always)]
    pub fn extract<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> Result<(Credential<'h>, Carriers), Denial> {
        let has_authorization = Cell::new(false);
        let fields = headers.iter().map(|(name, value)| {
            if *name == AUTHORIZATION {
                has_authorization.set(true);
            }
            (name.as_str().as_bytes(), value.as_bytes())
        });
        let credential = self.extractor.extract(fields)?;
        let has_authorization = has_authorization.get();
        Ok((credential, Carriers { has_authorization }))
    }

    /// Removes the headers that a key is read from. An `Authorization` of another scheme
    /// stays.
    pub fn remove(&self, headers: &mut HeaderMap, carriers: Carriers) {
        headers.remove(&X_API_KEY);
        if let Some(custom) = &self.custom {
            headers.remove(custom);
        }
        if carriers.has_authorization
            && headers
                .get_all(&AUTHORIZATION)
                .iter()
                .any(|value| self.carries_key(value))
        {
            headers.remove(&AUTHORIZATION);
        }
    }

    /// Marks the headers that a key is read from as sensitive, so that their values are not
    /// printed.
    pub fn mark_sensitive(&self, headers: &mut HeaderMap) {
        for name in [&X_API_KEY, &AUTHORIZATION].into_iter().chain(&self.custom) {
            if let Entry::Occupied(mut entry) = headers.entry(name) {
                entry.iter_mut().for_each(|value| value.set_sensitive(true));
            }
        }
    }

    /// Whether the scheme of an `Authorization` is one that carries keys.
    fn carries_key(&self, authorization: &HeaderValue) -> bool {
        let text = authorization.as_bytes().trim_ascii_start();
        let is = |scheme: &str| {
            let start = text.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        is("bearer") || (self.reads_basic && is("basic"))
    }
}

// Not a constant, which would be built again at each use.
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn removed(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let credentials = CredentialHeaders::new().with_header("X-Acme").unwrap();
        let mut headers = headers(fields);
        let (_, carriers) = credentials.extract(&headers).unwrap();
        credentials.remove(&mut headers, carriers);
        headers
    }

    #[test]
    fn each_header_that_carries_a_key_is_removed() {
        for fields in [
            &[("x-api-key", "k")][..],
            &[("x-acme", "k")],
            &[("authorization", "Bearer k")],
            &[("authorization", "bEARER  k")],
            &[("x-api-key", "k"), ("x-api-key", "k")],
            &[("x-api-key", "k"), ("authorization", "Bearer k")],
        ] {
            assert_eq!(removed(fields), HeaderMap::new(), "{fields:?}");
        }
        let other = [("authorization", "Basic dTpw"), ("x-api-key", "k")];
        assert_eq!(removed(&other), headers(&other[..1]), "not a key's scheme");
    }

    #[test]
    fn each_header_that_carries_a_key_is_sensitive() {
        let credentials = CredentialHeaders::new().with_header("X-Acme").unwrap();
        let names = ["x-api-key", "x-acme", "authorization"];
        let mut map = headers(&names.map(|name| (name, "k")));
        map.append("x-acme", "k".parse().unwrap());
        map.append("cookie", "c".parse().unwrap());
        credentials.mark_sensitive(&mut map);
        for (name, value) in &map {
            assert_eq!(value.is_sensitive(), name != "cookie", "{name}");
        }
    }
}
