//! The permissions that a key was granted, with whole-segment wildcards.

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
/// A permission is `segment(:segment)*`, with segments of `A-Z a-z 0-9 _ . -`. Matching
/// is byte-exact and by whole segments. A `*` in the middle matches exactly one segment,
/// a `*` at the end matches one or more, and `*` by itself matches everything. An empty
/// set grants nothing.
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
    /// Each permission follows a byte that holds its length minus one and whether it has
    /// a wildcard. The whole set is one allocation, and a decision reads few bytes.
    packed: Box<[u8]>,
}

impl PermissionSet {
    /// Creates a set of permissions; duplicates are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] if a permission is malformed or longer than 128 bytes,
    /// or if there are more than 64 permissions.
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
                    "a key must have at most 64 permissions",
                )
                .in_field("permissions"));
            }
            let head = head_of(permission).filter(|_| is_granted_form(permission));
            let head = head.ok_or(Error::new(
                ErrorKind::Permission,
                "a permission must be segments of A-Z a-z 0-9 _ . - joined by colons, at most 128 bytes; * is a whole segment",
            ).in_field("permissions").at(count))?;
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

    /// The permissions, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // Permissions are ASCII.
        self.view()
            .iter()
            .filter_map(|(permission, _)| core::str::from_utf8(permission).ok())
    }

    /// Whether the set is empty and so grants nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Whether one of the permissions covers `required`, a permission without wildcards.
    ///
    /// If `required` is malformed or has a wildcard, it is not granted, not even by `*`.
    #[must_use]
    #[inline]
    pub fn grants(&self, required: &str) -> bool {
        is_required_form(required) && self.view().grants(required.as_bytes())
    }

    /// The packed set, as decisions read it.
    #[inline]
    pub(crate) const fn view(&self) -> Granted<'_> {
        Granted(&self.packed)
    }

    /// Whether everything that `other` grants is granted by a single permission of this
    /// set.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .view()
            .iter()
            .all(|(required, _)| self.view().grants(required))
    }
}

/// A packed set of permissions, wherever it is stored.
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

    /// Whether one of the permissions covers `required`, which must be well formed.
    #[inline]
    pub(crate) fn grants(self, required: &[u8]) -> bool {
        self.iter().any(|(granted, has_wildcard)| {
            granted == required || (has_wildcard && covers(granted, required))
        })
    }
}

/// The bit of a packed permission's first byte that is set if it has a wildcard.
const HAS_WILDCARD: u8 = 0x80;

/// The byte before a packed permission. The longest permission's length minus one is 127.
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

/// Whether `text` may be required: segments without wildcards.
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

/// Whether the pattern `granted` covers everything that `required` matches.
///
/// `required` may be a pattern itself; it is then covered as a whole or not at all.
// Not inlined: most permissions do not need the walk.
#[inline(never)]
fn covers(granted: &[u8], required: &[u8]) -> bool {
    let colon = |byte: &u8| *byte == b':';
    let (mut granted, mut required) = (
        granted.split(colon).peekable(),
        required.split(colon).peekable(),
    );
    loop {
        match (granted.next(), required.next()) {
            // A wildcard at the end matches all remaining segments, of which there is at
            // least one.
            (Some(b"*"), Some(_)) if granted.peek().is_none() => return true,
            // A wildcard at the end of `required` matches more than this one segment.
            (Some(b"*"), Some(b"*")) if required.peek().is_none() => return false,
            (Some(b"*"), Some(_)) => {}
            (Some(own), Some(other)) if own == other => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
