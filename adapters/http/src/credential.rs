//! The headers that a key is read from, and how it is kept from what comes after.

use http::HeaderMap;
use http::header::{Entry, HeaderName, HeaderValue};
use keystile::{Carriers, Credential, CredentialExtractor, CredentialSources, Denial, Verifier};

/// The headers that a key is read from.
///
/// ```
/// use http::HeaderMap;
/// use keystile::{CredentialSources, DenialCode, KeyFormat, Verifier};
/// use keystile_http::CredentialHeaders;
/// # use keystile::{IssueRequest, Issuer, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let credentials = CredentialHeaders::new(CredentialSources::new(), &Verifier::new(format));
/// let mut headers = HeaderMap::new();
/// headers.insert("x-api-key", issued.key.expose().parse()?);
/// headers.insert("authorization", "Bearer a.users.token".parse()?);
/// let credential = credentials.extract(&headers).unwrap();
/// assert_eq!(credential.as_bytes(), issued.key.expose().as_bytes());
/// let carriers = credential.carriers();
/// drop(credential);
///
/// credentials.remove(&mut headers, carriers);
/// assert!(!headers.contains_key("x-api-key"));
/// assert!(headers.contains_key("authorization"), "it carried no key");
/// let denial = credentials.extract(&headers).unwrap_err();
/// assert_eq!(denial.code(), DenialCode::InvalidKey);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CredentialHeaders {
    extractor: CredentialExtractor,
    /// The names of the sources, so that a header is found without reading its name again.
    names: Box<[HeaderName]>,
}

impl CredentialHeaders {
    /// Reads keys of the verifier's formats from these sources.
    #[must_use]
    pub fn new(sources: CredentialSources, verifier: &Verifier) -> Self {
        let names = sources
            .names()
            .filter_map(|name| HeaderName::try_from(name).ok());
        Self {
            names: names.collect(),
            extractor: CredentialExtractor::new(sources, verifier),
        }
    }

    /// The header fields that are read.
    #[must_use]
    pub const fn sources(&self) -> &CredentialSources {
        self.extractor.sources()
    }

    /// The one key among the headers.
    ///
    /// # Errors
    /// As [`CredentialExtractor::extract`].
    // store-forwarding stall: build in place (see ARCHITECTURE.md)
    #[inline(always)]
    pub fn extract<'h>(&self, headers: &'h HeaderMap) -> Result<Credential<'h>, Denial> {
        let fields = headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.extractor.extract(fields)
    }

    /// Removes exactly the fields that carried the key. What else is in the same headers, such
    /// as a user's token in a second `Authorization`, stays.
    pub fn remove(&self, headers: &mut HeaderMap, carriers: Carriers) {
        // Names are found by their text: few headers carry a key, usually one.
        for name in self.sources().names_of(carriers) {
            let Some(known) = self.names.iter().find(|own| is_same(own, name)) else {
                continue;
            };
            if carriers.are_mixed() {
                self.remove_keys(headers, known);
            } else {
                headers.remove(known);
            }
        }
    }

    /// Removes the fields of a header that carry a key.
    #[cold]
    fn remove_keys(&self, headers: &mut HeaderMap, name: &HeaderName) {
        let carries = |value: &HeaderValue| {
            let name = name.as_str().as_bytes();
            self.extractor.carries_key(name, value.as_bytes())
        };
        let all = headers.get_all(name).iter();
        let others: Vec<HeaderValue> = all.filter(|value| !carries(value)).cloned().collect();
        headers.remove(name);
        for value in others {
            headers.append(name, value);
        }
    }

    /// Marks the headers that a key is read from as sensitive, so that their values are not
    /// printed.
    pub fn mark_sensitive(&self, headers: &mut HeaderMap) {
        for name in &self.names {
            if let Entry::Occupied(mut entry) = headers.entry(name) {
                entry.iter_mut().for_each(|value| value.set_sensitive(true));
            }
        }
    }
}

fn is_same(own: &HeaderName, name: &str) -> bool {
    own.as_str().eq_ignore_ascii_case(name)
}

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

    const KEY: &str = "acme_00000000000000000000000000000000";
    const BEARER: &str = "Bearer acme_00000000000000000000000000000000";
    const ODD_BEARER: &str = " bEARER  acme_00000000000000000000000000000000";
    const TOKEN: &str = "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln";

    fn credentials() -> CredentialHeaders {
        let format = keystile::KeyFormat::opaque("acme").unwrap();
        let format = format.with_random_bytes(16).unwrap();
        let sources = CredentialSources::new().with_header("X-Acme").unwrap();
        CredentialHeaders::new(sources, &Verifier::new(format))
    }

    fn removed(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let credentials = credentials();
        let mut headers = headers(fields);
        let carriers = credentials.extract(&headers).unwrap().carriers();
        credentials.remove(&mut headers, carriers);
        headers
    }

    #[test]
    fn exactly_the_fields_that_carry_the_key_are_removed() {
        for fields in [
            &[("x-api-key", KEY)][..],
            &[("x-acme", KEY)],
            &[("authorization", BEARER)],
            &[("authorization", ODD_BEARER)],
            &[("x-api-key", KEY), ("x-api-key", KEY)],
            &[
                ("x-api-key", KEY),
                ("authorization", BEARER),
                ("x-acme", KEY),
            ],
        ] {
            assert_eq!(removed(fields), HeaderMap::new(), "{fields:?}");
        }
        for other in [
            ("authorization", "Basic dTpw"),
            ("authorization", TOKEN),
            ("x-acme", "a-key-of-an-upstream"),
        ] {
            for key in [
                ("x-api-key", KEY),
                ("authorization", BEARER),
                ("x-acme", KEY),
            ] {
                assert_eq!(removed(&[other, key]), headers(&[other]), "{other:?}");
                assert_eq!(removed(&[key, other, key]), headers(&[other]), "{other:?}");
            }
        }
    }

    #[test]
    fn each_header_that_carries_a_key_is_sensitive() {
        let credentials = credentials();
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
