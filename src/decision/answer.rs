//! The answer to a request: allowed, or refused.

use crate::decision::allowed::Allowed;
use crate::decision::denial::Denial;

/// The answer to a request. It is plain data: `Copy`, and without any part of the key.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let key = issued.key.expose().as_bytes();
/// let verifier = Verifier::new(format);
/// let answer = |record: Option<&KeyRecord>| {
///     match verifier.verify(key, record, &Request::new(), &mut Usage::default(), now) {
///         Decision::Allow(allowed) => format!("hello, {}", allowed.key_id),
///         Decision::Deny(denial) => denial.code().message().to_owned(),
///     }
/// };
/// assert_eq!(answer(Some(&issued.record)), format!("hello, {}", issued.record.id));
/// assert_eq!(answer(None), "The API key is not valid; check that it was copied whole.");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a decision that is not looked at guards nothing"]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Decision {
    /// The request may go on.
    Allow(Allowed),
    /// It may not.
    Deny(Denial),
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The denial, if the request was refused.
    #[must_use]
    pub const fn denial(&self) -> Option<&Denial> {
        match self {
            Self::Allow(_) => None,
            Self::Deny(denial) => Some(denial),
        }
    }
}
