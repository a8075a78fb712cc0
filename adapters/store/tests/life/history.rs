//! The records of a key, one after the other.

use keystile::{Cause, KeyId};

use crate::meter::Limit;
use crate::oracle::DECIDERS;
use crate::rights::{Asked, Rights};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Suspended,
    Revoked,
}

/// A record, as far as a decision depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) rights: Rights,
    pub(crate) limit: Option<Limit>,
    pub(crate) state: State,
    pub(crate) expires_at: Option<u64>,
    pub(crate) replaced_by: Option<KeyId>,
    pub(crate) overlap_until: Option<u64>,
    pub(crate) ends_at_first_use: Option<KeyId>,
}

/// A record from when it was written until it was changed, by monotonic time.
#[derive(Debug)]
pub(crate) struct Version {
    /// `None`: deleted.
    pub(crate) record: Option<Record>,
    pub(crate) until: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) lineage: KeyId,
    pub(crate) versions: Vec<Version>,
    /// The oldest version that each decider may still know.
    pub(crate) oldest: [usize; DECIDERS],
}

impl Record {
    pub(crate) fn ends_at(&self) -> Option<u64> {
        let ends = [self.expires_at, self.overlap_until];
        ends.into_iter().flatten().min()
    }

    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.ends_at().is_some_and(|end| now >= end)
    }

    /// Status, expiry, the end of the overlap, then what was granted.
    pub(crate) fn refusal(&self, asked: &Asked, now: u64) -> Option<Cause> {
        match self.state {
            State::Revoked => return Some(Cause::Revoked),
            State::Suspended => return Some(Cause::Suspended),
            State::Active => {}
        }
        if self.expires_at.is_some_and(|end| now >= end) {
            return Some(Cause::Expired);
        }
        if self.overlap_until.is_some_and(|end| now >= end) {
            return Some(Cause::Replaced);
        }
        self.rights.refusal(asked)
    }
}
