//! The answer to a request: allowed, or refused.

use crate::decision::allowed::Allowed;
use crate::decision::denial::Denial;

/// The answer to a request. It is plain data: `Copy`, and without any part of the key.
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
