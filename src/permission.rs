//! What a key was granted: permissions with whole-segment wildcards.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::error::{Error, ErrorKind};

/// Longest permission in bytes.
pub const PERMISSION_BYTES_MAX: usize = 128;
/// Most permissions in a set.
pub const PERMISSIONS_MAX: usize = 64;

const WILDCARD: &str = "*";

/// The permissions that a key was granted.
///
/// A permission is `segment(:segment)*`, each segment of `A-Z a-z 0-9 _ . -`. Matching is
/// byte-exact and by whole segments. `*` in the middle is exactly one segment, `*` at the
/// end one or more, and `*` alone everything. An empty set grants nothing.
///
/// ```
/// use keystile::PermissionSet;
/// let set = PermissionSet::new(["read", "invoices:*", "org:*:audit"])?;
/// assert!(set.grants("read"));
/// assert!(set.grants("invoices:eu:read"));
/// assert!(set.grants("org:7:audit"));
/// assert!(!set.grants("read_write") && !set.grants("READ") && !set.grants("rea"));
/// assert!(!set.grants("invoices"), "`*` at the end is one segment or more");
/// assert!(PermissionSet::new(["inv*"]).is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct PermissionSet {
    /// Joined by spaces, which no permission contains: one allocation for the whole set.
    text: Box<str>,
}

impl PermissionSet {
    /// A checked set; what stands in it twice is kept once.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] if one is not spelled as a permission, is longer than
    /// 128 bytes, or if there are more than 64.
    pub fn new<I>(permissions: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut text = String::new();
        for (count, permission) in permissions.into_iter().enumerate() {
            let permission = permission.as_ref();
            if count >= PERMISSIONS_MAX {
                return Err(Error::new(
                    ErrorKind::Permission,
                    "a key has at most 64 permissions",
                ));
            }
            if !is_granted_form(permission) {
                return Err(Error::new(
                    ErrorKind::Permission,
                    "a permission is segments of A-Z a-z 0-9 _ . - joined by colons, at most 128 bytes; * stands for a whole segment",
                ));
            }
            if !text.split(' ').any(|known| known == permission) {
                if !text.is_empty() {
                    text.push(' ');
                }
                text.push_str(permission);
            }
        }
        Ok(Self { text: text.into() })
    }

    /// Each permission, in the order of the first mention.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.view().iter()
    }

    /// Whether the set grants nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether one of the permissions covers `wanted`, a permission without wildcard.
    ///
    /// A text that is no such permission is granted by nobody, not by `*` either.
    #[must_use]
    #[inline]
    pub fn grants(&self, wanted: &str) -> bool {
        is_required_form(wanted) && self.view().grants(wanted)
    }

    /// The set as it lies in memory, for a verdict.
    #[inline]
    pub(crate) const fn view(&self) -> Granted<'_> {
        Granted(&self.text)
    }

    /// Whether everything that `other` grants is granted by one permission here.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|wanted| self.iter().any(|granted| covers(granted, wanted)))
    }
}

/// A set's permissions joined by spaces, wherever that text lies.
#[derive(Clone, Copy)]
pub(crate) struct Granted<'s>(pub(crate) &'s str);

impl<'s> Granted<'s> {
    #[inline]
    fn iter(self) -> impl Iterator<Item = &'s str> {
        // The empty set's text would split into one empty permission.
        self.0
            .split(' ')
            .filter(|permission| !permission.is_empty())
    }

    #[inline]
    pub(crate) fn grants(self, wanted: &str) -> bool {
        !wanted.is_empty() && self.iter().any(|granted| covers(granted, wanted))
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Whether `text` may be asked for: segments, and no wildcard.
pub(crate) fn is_required_form(text: &str) -> bool {
    text.len() <= PERMISSION_BYTES_MAX && text.split(':').all(is_segment)
}

/// Whether `text` may be granted: segments or wildcards.
fn is_granted_form(text: &str) -> bool {
    text.len() <= PERMISSION_BYTES_MAX
        && text
            .split(':')
            .all(|segment| segment == WILDCARD || is_segment(segment))
}

fn is_segment(segment: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !segment.is_empty() && segment.bytes().all(legal)
}

/// Whether the pattern `granted` covers all that `wanted` stands for.
///
/// `wanted` may be a pattern too: then it is covered as a whole or not at all.
#[inline]
fn covers(granted: &str, wanted: &str) -> bool {
    if !granted.contains('*') {
        return granted == wanted;
    }
    let (mut granted, mut wanted) = (granted.split(':').peekable(), wanted.split(':').peekable());
    loop {
        match (granted.next(), wanted.next()) {
            // At the end a wildcard takes all that is left, which is one segment or more.
            (Some(WILDCARD), Some(_)) if granted.peek().is_none() => return true,
            // A wildcard at the end of `wanted` stands for more than this one segment.
            (Some(WILDCARD), Some(WILDCARD)) if wanted.peek().is_none() => return false,
            (Some(WILDCARD), Some(_)) => {}
            (Some(own), Some(other)) if own == other => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
