//! Which key another one was derived from.

use crate::key::id::KeyId;

/// The key that another one was derived from, and its lineage.
///
/// A derived key and its successors end no later than the lineage they derive from, and are
/// revoked and suspended with it. The lineage is what counts: if the source is rotated, its
/// successor is the source.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// let source = IssueRequest::new("Acme")?.permissions(["invoices:*"])?;
/// let source = issuer.issue(&source, &mut SysRng, now)?.record;
/// let less = IssueRequest::new("Acme's shop")?.permissions(["invoices:read"])?;
/// let derived = issuer.delegate(&source, &less, &mut SysRng, now)?.record;
/// assert_eq!(derived.derived_from, Some(DerivedFrom::key(&source)));
/// assert!(source.derived_from.is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DerivedFrom {
    /// The key.
    pub key_id: KeyId,
    /// Its lineage.
    pub lineage: KeyId,
}

impl DerivedFrom {
    /// From this key and its lineage.
    #[must_use]
    pub const fn new(key_id: KeyId, lineage: KeyId) -> Self {
        Self { key_id, lineage }
    }
}
