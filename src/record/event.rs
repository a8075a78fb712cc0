//! What happened to a key, for the audit log.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::key::id::KeyId;
use crate::record::by::By;
use crate::record::field_change::FieldChange;
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
    /// The overlap of a replaced key was ended early. A key that reaches its expiry leaves no
    /// event, since nothing has to run at that instant.
    Expired = "expired",
    /// A key's digest was computed again, under the current pepper.
    Rehashed = "rehashed",
    /// A key that was issued elsewhere was imported.
    Imported = "imported",
    /// What a key may do, or whom it belongs to, was changed.
    Changed = "changed",
    /// A key was removed from the store.
    Deleted = "deleted",
    /// The events up to this one were removed. It is about no key, so a reader that has not
    /// seen those events invalidates everything.
    Pruned = "pruned",
}

/// One entry of the audit log: what happened to which key, when, and who did it. It never
/// contains key text.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let event = revoke(&issued.record, "leaked in a log", now)?.event;
/// assert_eq!((event.kind, event.key_id, event.at), (EventKind::Revoked, Some(issued.record.id), now));
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
    /// The key that it happened to. `None` if it happened to more keys at once than have
    /// events of their own: whoever caches records must then read all of them again.
    pub key_id: Option<KeyId>,
    /// When it happened.
    pub at: UnixMillis,
    /// The version of the key's record from then on, if it is known.
    pub version: Option<u64>,
    /// Why, if a reason was given.
    pub reason: Option<Box<str>>,
    /// The successor, if the key was rotated.
    pub successor: Option<KeyId>,
    /// Who did it, if it is known: the id of a key, a person, a program, or the user of the
    /// database that other code wrote as.
    pub actor: Option<Box<str>>,
    /// The address or the host that it was done from, if it is known.
    pub origin: Option<Box<str>>,
    /// What was changed, if that is known.
    pub changes: Vec<FieldChange>,
}

impl Event {
    /// An event of a key; what else is known of it is filled in afterwards.
    #[must_use]
    pub const fn new(kind: EventKind, key_id: KeyId, at: UnixMillis) -> Self {
        Self::about(kind, Some(key_id), at)
    }

    /// An event of more keys than have events of their own.
    #[must_use]
    pub const fn of_many(kind: EventKind, at: UnixMillis) -> Self {
        Self::about(kind, None, at)
    }

    /// The same event, after which the key's record has this version.
    #[must_use]
    pub const fn with_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// The same event, with the names of the fields that were changed.
    #[must_use]
    pub fn with_changes<'f>(mut self, fields: impl IntoIterator<Item = &'f str>) -> Self {
        self.changes = fields.into_iter().map(FieldChange::new).collect();
        self
    }

    /// The same event, with who did it, from where and why. What the event has already stays:
    /// an actor with its origin, and a reason.
    #[must_use]
    pub fn by(mut self, by: &By) -> Self {
        if self.actor.is_none() && self.origin.is_none() {
            self.actor = by.actor().map(Box::from);
            self.origin = by.origin().map(Box::from);
        }
        if self.reason.is_none() {
            self.reason = by.reason().map(Box::from);
        }
        self
    }

    const fn about(kind: EventKind, key_id: Option<KeyId>, at: UnixMillis) -> Self {
        Self {
            kind,
            key_id,
            at,
            version: None,
            reason: None,
            successor: None,
            actor: None,
            origin: None,
            changes: Vec::new(),
        }
    }
}
