//! What was answered, and what may be.

use keystile::{Cause, KeyId};

use crate::meter::Meter;

/// What is presented as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    Itself,
    WrongSecret,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `None`: allowed.
    pub(crate) cause: Option<Cause>,
    pub(crate) uses_left: Option<u64>,
    pub(crate) requests_left: Option<u32>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) notice: Option<(KeyId, u64)>,
}

/// An answer that is accepted, and what follows from it.
pub(crate) struct Possible {
    pub(crate) version: usize,
    pub(crate) cause: Option<Cause>,
    pub(crate) meter: Option<Meter>,
    pub(crate) uses_left: Option<u64>,
    /// Whether it carries what is left of a limit.
    pub(crate) has_quota: bool,
    /// How many requests are left of it, if this is certain.
    pub(crate) requests_left: Option<u128>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) notice: Option<(KeyId, u64)>,
    pub(crate) ends: Option<KeyId>,
}

impl Possible {
    pub(crate) fn accepts(&self, seen: &Seen) -> bool {
        let fits = |own: Option<u128>, seen: Option<u128>| own.is_none() || own == seen;
        self.cause == seen.cause
            && self.uses_left == seen.uses_left
            && self.notice == seen.notice
            && self.has_quota == seen.requests_left.is_some()
            && fits(self.requests_left, seen.requests_left.map(u128::from))
            && fits(
                self.retry_after.map(u128::from),
                seen.retry_after.map(u128::from),
            )
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "{:?} by version {}, uses left {:?}, quota: {}, requests left {:?}, retry after {:?}, notice {:?}",
            self.cause,
            self.version,
            self.uses_left,
            self.has_quota,
            self.requests_left,
            self.retry_after,
            self.notice
        )
    }
}
