//! How long keys may live in a service.

use crate::error::{Error, ErrorKind};
use crate::time::Millis;

/// Lifetime of a key whose request has none.
const DEFAULT: Millis = Millis::from_days(90);

/// How long a key lives; "forever" is its own variant, never a missing number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    For(Millis),
    Ever,
}

impl Lifetime {
    /// The length; none is never.
    pub(crate) const fn length(self) -> Option<Millis> {
        match self {
            Self::For(length) => Some(length),
            Self::Ever => None,
        }
    }
}

/// How long the keys of a service live: the lifetime of a key whose request has none, and the
/// longest that a request may ask for.
///
/// A service has one, and holds it wherever a lifetime is given: in
/// [`Issuer::with_lifetimes`](crate::Issuer::with_lifetimes), or in
/// [`IssueRequest::within`](crate::IssueRequest::within),
/// [`KeyChange::within`](crate::KeyChange::within) and
/// [`RotationPolicy::within`](crate::RotationPolicy::within).
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let year = Millis::from_days(365);
/// let policy = LifetimePolicy::new(Millis::from_days(30), Some(year))?;
/// let issuer = Issuer::new(KeyFormat::structured("acme")?).with_lifetimes(policy);
/// let request = IssueRequest::new("Acme Ltd")?;
/// let issued = issuer.issue(&request, &mut SysRng, now)?;
/// assert_eq!(issued.record.expires_at, Some(now.plus(Millis::from_days(30))?));
///
/// let refused = issuer.issue(&request.never_expires(), &mut SysRng, now);
/// assert_eq!(refused.unwrap_err().kind(), ErrorKind::Time);
/// assert!(LifetimePolicy::new(year, Some(Millis::from_days(30))).is_err());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimePolicy {
    default: Millis,
    longest: Option<Millis>,
}

impl Default for LifetimePolicy {
    /// 90 days if a request has no lifetime, and no longest.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl LifetimePolicy {
    pub(crate) const DEFAULT: Self = Self {
        default: DEFAULT,
        longest: None,
    };

    /// The lifetime of keys whose request has none, and the longest. If there is a longest, a
    /// key that never expires is refused.
    ///
    /// # Errors
    /// [`ErrorKind::Time`] if one of them is zero, or if the default is longer than the longest.
    pub fn new(default: Millis, longest: Option<Millis>) -> Result<Self, Error> {
        if default == Millis::ZERO || longest == Some(Millis::ZERO) {
            let field = if default == Millis::ZERO {
                "default_lifetime"
            } else {
                "longest_lifetime"
            };
            let expected = "a default or longest lifetime must be 1 ms or more";
            return Err(Error::new(ErrorKind::Time, expected).in_field(field));
        }
        if longest.is_some_and(|longest| default > longest) {
            return Err(Error::new(
                ErrorKind::Time,
                "a default lifetime must not be longer than the longest",
            )
            .in_field("default_lifetime"));
        }
        Ok(Self { default, longest })
    }

    /// The lifetime of a key whose request has none.
    #[must_use]
    pub const fn default_lifetime(&self) -> Millis {
        self.default
    }

    /// The longest lifetime. `None`: any, also a key that never expires.
    #[must_use]
    pub const fn longest(&self) -> Option<Millis> {
        self.longest
    }

    /// Refuses a lifetime that was asked for and is longer than the longest.
    pub(crate) fn check(&self, asked: Lifetime) -> Result<(), Error> {
        let expected = match (asked, self.longest) {
            (Lifetime::Ever, Some(_)) => {
                "a key must expire: the service has a longest lifetime, and never is longer"
            }
            (Lifetime::For(length), Some(longest)) if length > longest => {
                "a lifetime must not be longer than the longest that the service allows"
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Time, expected).in_field("lifetime"))
    }
}
