//! How a client is told which credentials are read: the challenges of a 401.

use alloc::string::String;
use core::fmt::Write as _;

use crate::decision::credential_sources::CredentialSources;
use crate::decision::denial_code::DenialCode;

impl CredentialSources {
    /// The value of `WWW-Authenticate` (RFC 9110, section 11.6.1) in a 401 with this code, as a
    /// service answers that reads these sources.
    ///
    /// It has a challenge for each scheme of `Authorization` that is read. If there is none, it
    /// names the headers for keys; if nothing is read at all, it is empty. [`respond`](crate::respond) does not know the sources, and
    /// answers as for the default ones; [`Response::with_sources`](crate::Response::with_sources) names these.
    ///
    /// ```
    /// use keystile::{CredentialSources, DenialCode};
    /// let challenge = |sources: CredentialSources| sources.challenge(DenialCode::InvalidKey);
    /// assert_eq!(challenge(CredentialSources::new()), r#"Bearer error="invalid_token""#);
    /// let header = CredentialSources::none().with_header("X-Acme-Key")?;
    /// assert_eq!(challenge(header), r#"ApiKey header="X-Acme-Key""#);
    /// let scheme = CredentialSources::none().with_scheme("Token")?;
    /// assert_eq!(challenge(scheme), "Token");
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn challenge(&self, code: DenialCode) -> String {
        let mut challenge = String::new();
        let mut separator = "";
        // Writing to a string cannot fail; names are tokens, which need no escapes in quotes.
        for scheme in self.schemes() {
            let parameters = match scheme {
                // RFC 6750, section 3: no error code if no credential was sent.
                "Bearer" if code != DenialCode::MissingCredential => " error=\"invalid_token\"",
                // RFC 7617, section 2: the realm is required.
                "Basic" => " realm=\"API key\"",
                _ => "",
            };
            let _ = write!(challenge, "{separator}{scheme}{parameters}");
            separator = ", ";
        }
        if challenge.is_empty() {
            for name in self.names() {
                let _ = write!(challenge, "{separator}ApiKey header=\"{name}\"");
                separator = ", ";
            }
        }
        challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_that_is_read_has_a_challenge() {
        let sources = CredentialSources::new().with_scheme("Api-Key").unwrap();
        let sources = sources.with_header("X-Acme-Key").unwrap();
        let missing = sources.challenge(DenialCode::MissingCredential);
        assert_eq!(missing, "Bearer, Api-Key");
        let invalid = sources.challenge(DenialCode::InvalidKey);
        assert_eq!(invalid, "Bearer error=\"invalid_token\", Api-Key");
        let headers = CredentialSources::none().with_header("X-API-Key").unwrap();
        let headers = headers.with_header("X-Acme-Key").unwrap();
        assert_eq!(
            headers.challenge(DenialCode::InvalidKey),
            "ApiKey header=\"X-API-Key\", ApiKey header=\"X-Acme-Key\""
        );
        assert_eq!(
            CredentialSources::none().challenge(DenialCode::InvalidKey),
            ""
        );
    }

    #[cfg(feature = "basic")]
    #[test]
    fn a_user_name_has_one_too() {
        let sources = CredentialSources::none().with_basic();
        let challenge = sources.challenge(DenialCode::MissingCredential);
        assert_eq!(challenge, "Basic realm=\"API key\"");
    }
}
