//! What happened to a key, for the audit log.

use alloc::boxed::Box;

use crate::key::id::KeyId;
use crate::time::UnixMillis;

/// Writes the kinds and their names from one list.
macro_rules! event_kinds {
    ($($(#[$doc:meta])+ $kind:ident = $name:literal,)+) => {
        /// What happened.
        ///
        /// ```
        /// use keystile::EventKind;
        /// assert_eq!(EventKind::Revoked.as_str(), "revoked");
        /// assert_eq!(EventKind::from_name("revoked"), Some(EventKind::Revoked));
        /// assert_eq!(EventKind::from_name("Revoked"), None);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])+ $kind,)+
        }

        impl EventKind {
            /// The stable name that stores and logs use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// The kind with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

event_kinds! {
    /// A key was issued.
    Issued = "issued",
    /// A key was given a successor.
    Rotated = "rotated",
    /// A key was revoked.
    Revoked = "revoked",
    /// A key was suspended.
    Suspended = "suspended",
    /// A suspended key was resumed.
    Resumed = "resumed",
    /// A key reached its expiry or the end of its overlap.
    Expired = "expired",
    /// A key's digest was computed again, under the current pepper.
    Rehashed = "rehashed",
    /// A key that was issued elsewhere was imported.
    Imported = "imported",
}

/// One entry of the audit log: what happened to which key, and when. It never contains
/// key text.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let event = revoke(&issued.record, "leaked in a log", now)?.event;
/// assert_eq!((event.kind, event.key_id, event.at), (EventKind::Revoked, issued.record.id, now));
/// assert_eq!(event.reason.as_deref(), Some("leaked in a log"));
/// // A reason that could forge a line of the log is refused.
/// assert!(revoke(&issued.record, "leaked\nkey 7 revoked", now).is_err());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key that it happened to.
    pub key_id: KeyId,
    /// When it happened.
    pub at: UnixMillis,
    /// Why, if a reason was given.
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
