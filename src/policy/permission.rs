//! What a key was granted: permissions with whole-segment wildcards.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{Error, ErrorKind};

/// Longest permission in bytes.
pub const PERMISSION_BYTES_MAX: usize = 128;
/// Most permissions in a set.
pub const PERMISSIONS_MAX: usize = 64;

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
    /// Each permission behind a byte that holds its length less one, and whether it has a
    /// wildcard: one allocation for the whole set, and a decision that reads few bytes.
    packed: Box<[u8]>,
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
        let mut packed = Vec::new();
        for (count, permission) in permissions.into_iter().enumerate() {
            let permission = permission.as_ref();
            if count >= PERMISSIONS_MAX {
                return Err(Error::new(
                    ErrorKind::Permission,
                    "a key has at most 64 permissions",
                ));
            }
            let head = head_of(permission).filter(|_| is_granted_form(permission));
            let head = head.ok_or(Error::new(
                ErrorKind::Permission,
                "a permission is segments of A-Z a-z 0-9 _ . - joined by colons, at most 128 bytes; * stands for a whole segment",
            ))?;
            if !Granted(&packed)
                .iter()
                .any(|(known, _)| known == permission.as_bytes())
            {
                packed.push(head);
                packed.extend_from_slice(permission.as_bytes());
            }
        }
        Ok(Self {
            packed: packed.into(),
        })
    }

    /// Each permission, in the order of the first mention.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // All of them are ASCII.
        self.view()
            .iter()
            .filter_map(|(permission, _)| core::str::from_utf8(permission).ok())
    }

    /// Whether the set grants nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Whether one of the permissions covers `wanted`, a permission without wildcard.
    ///
    /// A text that is no such permission is granted by nobody, not by `*` either.
    #[must_use]
    #[inline]
    pub fn grants(&self, wanted: &str) -> bool {
        is_required_form(wanted) && self.view().grants(wanted.as_bytes())
    }

    /// The set as it lies in memory, for a decision.
    #[inline]
    pub(crate) const fn view(&self) -> Granted<'_> {
        Granted(&self.packed)
    }

    /// Whether everything that `other` grants is granted by one permission here.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .view()
            .iter()
            .all(|(wanted, _)| self.view().grants(wanted))
    }
}

/// A packed set of permissions, wherever it lies.
#[derive(Clone, Copy)]
pub(crate) struct Granted<'s>(pub(crate) &'s [u8]);

impl<'s> Granted<'s> {
    /// Each permission, and whether it has a wildcard.
    #[inline]
    fn iter(self) -> impl Iterator<Item = (&'s [u8], bool)> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (&head, behind) = rest.split_first()?;
            let length = usize::from(head & !HAS_WILDCARD).saturating_add(1);
            let (permission, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some((permission, head & HAS_WILDCARD != 0))
        })
    }

    /// Whether one of the permissions covers `wanted`, which is well formed.
    #[inline]
    pub(crate) fn grants(self, wanted: &[u8]) -> bool {
        self.iter().any(|(granted, has_wildcard)| {
            granted == wanted || (has_wildcard && covers(granted, wanted))
        })
    }
}

/// The bit of a packed permission's first byte that says whether it has a wildcard.
const HAS_WILDCARD: u8 = 0x80;

/// The byte before a packed permission; the longest one's length less one is 127.
fn head_of(permission: &str) -> Option<u8> {
    let length = u8::try_from(permission.len().checked_sub(1)?).ok()?;
    let wildcard = if permission.contains('*') {
        HAS_WILDCARD
    } else {
        0
    };
    (length < HAS_WILDCARD).then_some(length | wildcard)
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
            .all(|segment| segment == "*" || is_segment(segment))
}

fn is_segment(segment: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !segment.is_empty() && segment.bytes().all(legal)
}

/// Whether the pattern `granted` covers all that `wanted` stands for.
///
/// `wanted` may be a pattern too: then it is covered as a whole or not at all.
// Out of the way of permissions that need no walk.
#[inline(never)]
fn covers(granted: &[u8], wanted: &[u8]) -> bool {
    let colon = |byte: &u8| *byte == b':';
    let (mut granted, mut wanted) = (
        granted.split(colon).peekable(),
        wanted.split(colon).peekable(),
    );
    loop {
        match (granted.next(), wanted.next()) {
            // At the end a wildcard takes all that is left, which is one segment or more.
            (Some(b"*"), Some(_)) if granted.peek().is_none() => return true,
            // A wildcard at the end of `wanted` stands for more than this one segment.
            (Some(b"*"), Some(b"*")) if wanted.peek().is_none() => return false,
            (Some(b"*"), Some(_)) => {}
            (Some(own), Some(other)) if own == other => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
