//! What happened to a key, for the audit log.

use alloc::boxed::Box;

use crate::key::id::KeyId;
use crate::time::UnixMillis;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A key was issued.
    Issued,
    /// A key was given a successor.
    Rotated,
    /// A key was revoked.
    Revoked,
    /// A key was suspended.
    Suspended,
    /// A suspended key was resumed.
    Resumed,
    /// A key has expired.
    Expired,
    /// A key's digest was replaced by one under the current pepper.
    Rehashed,
    /// A key that was issued elsewhere was imported.
    Imported,
}

impl EventKind {
    const ALL: [Self; 8] = [
        Self::Issued,
        Self::Rotated,
        Self::Revoked,
        Self::Suspended,
        Self::Resumed,
        Self::Expired,
        Self::Rehashed,
        Self::Imported,
    ];

    /// The stable name that stores and logs use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Expired => "expired",
            Self::Rehashed => "rehashed",
            Self::Imported => "imported",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One entry of the audit log: what happened to which key, and when. It never contains
/// key text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key that it happened to.
    pub key_id: KeyId,
    /// When it happened.
    pub at: UnixMillis,
    /// The reason, if one was given.
    pub reason: Option<Box<str>>,
    /// The successor, if the key was rotated.
    pub successor: Option<KeyId>,
}

impl Event {
    /// An event without a reason or successor.
    #[must_use]
    pub const fn new(kind: EventKind, key_id: KeyId, at: UnixMillis) -> Self {
        Self {
            kind,
            key_id,
            at,
            reason: None,
            successor: None,
        }
    }
}
