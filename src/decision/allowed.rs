//! What a caller learns of a request that was allowed.

use crate::key::id::KeyId;
use crate::policy::rate_limit::Quota;
use crate::time::UnixMillis;

/// Who was allowed, and what is left to them.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(1)?, &mut SysRng, now)?;
/// # let (key, record) = (issued.key.expose().as_bytes(), Some(&issued.record));
/// # let verifier = Verifier::new(format);
/// let mut usage = Usage::of(&issued.record); // the key may be used once
/// let Decision::Allow(allowed) = verifier.verify(key, record, &Request::new(), &mut usage, now) else {
///     panic!("it was not used yet");
/// };
/// assert_eq!(allowed.key_id, issued.record.id);
/// assert_eq!(allowed.remaining_uses, Some(0));
/// assert!(allowed.quota.is_none(), "it has no rate limit");
/// assert!(!verifier.verify(key, record, &Request::new(), &mut usage, now).is_allow());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allowed {
    /// The key's public id.
    pub key_id: KeyId,
    /// The version of the record that was judged.
    pub version: u64,
    /// The first key of its lineage, under which usage is kept.
    pub lineage: KeyId,
    /// What is left of the rate limit, if there is one.
    pub quota: Option<Quota>,
    /// Uses that are left, if they are counted.
    pub remaining_uses: Option<u64>,
    /// Set if the key is being replaced.
    pub notice: Option<Notice>,
    /// The predecessor whose overlap this use ends; see
    /// [`end_overlap`](crate::end_overlap).
    pub ends_overlap_of: Option<KeyId>,
    /// Whether the record should get a new digest; see [`rehash`](crate::rehash).
    pub needs_rehash: bool,
}

/// The key that was used has a successor, and ends.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let verifier = Verifier::new(format);
/// let rotated = issuer.rotate(&issued.record, &[], &RotationPolicy::default(), &mut SysRng, now)?;
/// let old = &rotated.changed[0];
/// let verify_old = |now| {
///     let key = issued.key.expose().as_bytes();
///     verifier.verify(key, Some(old), &Request::new(), &mut Usage::default(), now)
/// };
/// let Decision::Allow(allowed) = verify_old(now) else { panic!("both keys are valid") };
/// let notice = allowed.notice.expect("a successor");
/// assert_eq!(notice.replaced_by, rotated.successor.id);
/// let denied = verify_old(notice.until);
/// assert_eq!(denied.denial().unwrap().code(), DenialCode::KeyReplaced);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// The key that replaces it.
    pub replaced_by: KeyId,
    /// From when on this one is refused.
    pub until: UnixMillis,
}

impl Allowed {
    /// An allow for this key with nothing else set, for a language binding that fills in
    /// what it keeps as plain numbers.
    #[must_use]
    pub const fn new(key_id: KeyId, lineage: KeyId) -> Self {
        Self {
            key_id,
            version: 0,
            lineage,
            quota: None,
            remaining_uses: None,
            notice: None,
            ends_overlap_of: None,
            needs_rehash: false,
        }
    }
}

impl Notice {
    /// The notice of a record, if it has a successor and an end.
    #[inline]
    pub(crate) fn of(replaced_by: Option<KeyId>, until: Option<UnixMillis>) -> Option<Self> {
        let (replaced_by, until) = (replaced_by?, until?);
        Some(Self { replaced_by, until })
    }

    /// A notice, for a language binding as [`Allowed::new`].
    #[must_use]
    pub const fn new(replaced_by: KeyId, until: UnixMillis) -> Self {
        Self { replaced_by, until }
    }
}
