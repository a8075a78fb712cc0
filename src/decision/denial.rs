//! A refusal: what its sender may know of it, and what only the audit may.

use crate::decision::cause::Cause;
use crate::decision::denial_code::DenialCode;
use crate::key::id::KeyId;
use crate::policy::permission::PermissionSet;
use crate::policy::rate_limit::Quota;
use crate::policy::requirement::{Missing, Requirement};
use crate::time::Millis;

/// A refusal.
///
/// [`code`](Self::code) is what the caller of a service may know. [`cause`](Self::cause)
/// has more detail, and is only for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    cause: Cause,
    key_id: Option<KeyId>,
    detail: Detail,
}

/// What a refusal carries beyond its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    None,
    Missing(Missing),
    Limit(Quota),
}

impl Denial {
    /// A refusal from the plain numbers that a language binding keeps of one: its cause,
    /// key id, [`quota`](Self::quota) and [`missing_bits`](Self::missing_bits).
    #[must_use]
    pub const fn from_parts(
        cause: Cause,
        key_id: Option<KeyId>,
        quota: Option<Quota>,
        missing_bits: [u64; 2],
    ) -> Self {
        let detail = match (cause, quota) {
            (Cause::Permission, _) => Detail::Missing(Missing::from_halves(missing_bits)),
            (Cause::RateLimit, Some(quota)) => Detail::Limit(quota),
            _ => Detail::None,
        };
        Self {
            cause,
            key_id,
            detail,
        }
    }

    /// A refusal that carries only its cause.
    #[must_use]
    pub const fn new(cause: Cause) -> Self {
        Self {
            cause,
            key_id: None,
            detail: Detail::None,
        }
    }

    /// The refusal of a key that does not satisfy a requirement, for a requirement that is
    /// checked after the decision. `None` if the key satisfies it.
    ///
    /// ```
    /// # use keystile::{Denial, PermissionSet, Requirement};
    /// let granted = PermissionSet::new(["read"])?;
    /// let id = "1AbCdEfGhIjKlMnO".parse()?;
    /// let both = Requirement::parse("read AND write")?;
    /// let denial = Denial::missing_from(&both, &granted, id).expect("it may not write");
    /// assert_eq!(denial.missing(&both).collect::<Vec<_>>(), ["write"]);
    /// let read = Requirement::parse("read")?;
    /// assert!(Denial::missing_from(&read, &granted, id).is_none());
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn missing_from(
        requirement: &Requirement,
        granted: &PermissionSet,
        key_id: KeyId,
    ) -> Option<Self> {
        let missing = requirement.check(granted.view())?;
        Some(Self::for_missing(missing, key_id))
    }

    /// A refusal of a key whose secret was proved.
    pub(crate) const fn of(cause: Cause, key_id: KeyId) -> Self {
        let mut denial = Self::new(cause);
        denial.key_id = Some(key_id);
        denial
    }

    pub(crate) const fn for_missing(missing: Missing, key_id: KeyId) -> Self {
        let mut denial = Self::of(Cause::Permission, key_id);
        denial.detail = Detail::Missing(missing);
        denial
    }

    pub(crate) const fn limited(quota: Quota, key_id: KeyId) -> Self {
        let mut denial = Self::of(Cause::RateLimit, key_id);
        denial.detail = Detail::Limit(quota);
        denial
    }

    /// What the sender may know.
    #[must_use]
    pub const fn code(&self) -> DenialCode {
        self.cause.code()
    }

    /// The cause, for the audit; do not show it to the sender.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether the request was an attempt with a key that is not valid, which counts towards a
    /// limit on guesses. A token in `Authorization` that does not have the shape of a key does not.
    ///
    /// ```
    /// use keystile::{Cause, Denial};
    /// assert!(Denial::new(Cause::UnknownKey).is_guess());
    /// assert!(!Denial::new(Cause::Alien).is_guess());
    /// assert!(!Denial::new(Cause::Expired).is_guess(), "its secret was proved");
    /// ```
    #[must_use]
    pub const fn is_guess(&self) -> bool {
        matches!(self.code(), DenialCode::InvalidKey) && !matches!(self.cause, Cause::Alien)
    }

    /// The key's id, if its secret was proved; before that, nothing is disclosed.
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }

    /// The permissions that were missing, if that is why the request was refused.
    ///
    /// `requirement` is the one that the request was judged by.
    pub fn missing<'q>(&self, requirement: &'q Requirement) -> impl Iterator<Item = &'q str> {
        let missing = match self.detail {
            Detail::Missing(missing) => missing,
            _ => Missing::default(),
        };
        requirement.named(missing)
    }

    /// Which terms of the requirement were missing, a bit each, for
    /// [`from_parts`](Self::from_parts).
    #[must_use]
    pub const fn missing_bits(&self) -> [u64; 2] {
        match self.detail {
            Detail::Missing(missing) => missing.halves(),
            _ => [0; 2],
        }
    }

    /// The time after which the rate limit would let one request pass, if that is why the
    /// request was refused; `None` for a limit of 0.
    #[must_use]
    pub fn retry_after(&self) -> Option<Millis> {
        self.quota().and_then(Quota::retry_after)
    }

    /// What is left of the rate limit, if that is why the request was refused.
    #[must_use]
    pub const fn quota(&self) -> Option<&Quota> {
        match &self.detail {
            Detail::Limit(quota) => Some(quota),
            _ => None,
        }
    }
}
