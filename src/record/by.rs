//! Who changes a key, from where and why, for the audit log.

use alloc::boxed::Box;

use crate::error::{Error, ErrorKind};
use crate::key::contains_key::contains_key;
use crate::key::id::KeyId;
use crate::record::key_record::short_text;

const ACTOR: &str = "an actor must be 1 to 255 bytes without control or invisible characters, and contain no whole key";
const ORIGIN: &str = "an origin must be 1 to 255 bytes without control or invisible characters, and contain no whole key";
const WHY: &str = "a reason must be 1 to 255 bytes without control or invisible characters, and contain no whole key";

/// The reason of a revocation for which none was given.
pub const UNSPECIFIED: &str = "unspecified";

/// Who changes a key, from where and why. [`Event::by`](crate::Event::by) puts it on an event.
///
/// Each text has 1 to 255 bytes and no control or invisible characters, so that it cannot forge a line of a
/// log, and it contains no whole key. Write an actor so that its readers know whom it means:
/// the id of a key, `ana@example.com`, `deploy on host-3`.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let ana = By::new("ana")?.from_origin("10.0.0.7")?.because("unpaid invoice")?;
/// let event = suspend(&issued.record, now)?.event.by(&ana);
/// assert_eq!(event.actor.as_deref(), Some("ana"));
/// assert_eq!(event.origin.as_deref(), Some("10.0.0.7"));
/// assert_eq!(event.reason.as_deref(), Some("unpaid invoice"));
///
/// assert_eq!(By::new("ana\nrevoked by bob").unwrap_err().kind(), ErrorKind::Record);
/// let key = issued.key.expose();
/// assert_eq!(By::new(key).unwrap_err().kind(), ErrorKind::Record);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    actor: Option<Box<str>>,
    origin: Option<Box<str>>,
    reason: Option<Box<str>>,
}

impl By {
    /// This actor: a person or a program.
    ///
    /// # Errors
    /// [`ErrorKind::Record`] if the text is empty, is longer than 255 bytes, has control
    /// or invisible characters or contains a whole key.
    pub fn new(actor: &str) -> Result<Self, Error> {
        Ok(Self {
            actor: Some(checked(actor, "actor", ACTOR)?),
            ..Self::default()
        })
    }

    /// The holder of a key: the actor is the key's id.
    #[must_use]
    pub fn key(id: &KeyId) -> Self {
        Self {
            actor: Some(id.as_str().into()),
            ..Self::default()
        }
    }

    /// keystile itself: what a use of a key brings about, and the first key of a service.
    #[must_use]
    pub fn keystile() -> Self {
        Self {
            actor: Some("keystile".into()),
            ..Self::default()
        }
    }

    /// The same, with the address or the host that it is done from.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_origin(mut self, origin: &str) -> Result<Self, Error> {
        self.origin = Some(checked(origin, "origin", ORIGIN)?);
        Ok(self)
    }

    /// The same, with the reason. The reason that a verb gets, as [`revoke`](crate::revoke)
    /// does, counts before this one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn because(mut self, reason: &str) -> Result<Self, Error> {
        self.reason = Some(checked(reason, "reason", WHY)?);
        Ok(self)
    }

    /// Who does it; `None` if that is not known, as in the default.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// The address or the host that it is done from.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Why it is done.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

fn checked(text: &str, field: &'static str, expected: &'static str) -> Result<Box<str>, Error> {
    if text.trim().is_empty() || contains_key(text) {
        return Err(Error::new(ErrorKind::Record, expected).in_field(field));
    }
    short_text(text, field, expected)
}
