//! What a decision spends of a lineage's usage.

use keystile::{KeyId, KeyRecord, Usage};

/// A request to spend what a decision requires.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(5)?, &mut SysRng, now)?;
/// use keystile::Usage;
/// use keystile_store::{save_issued, MemoryStore, SpendRequest, Store};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let before = store.usage(&issued.record.lineage).await?.usage;
/// let after = Usage::new(before.rate, Some(4));
/// let request = SpendRequest::new(&issued.record, before, after);
/// assert!(store.spend(&request).await?);
/// // Another request that was decided at the same time must be decided again.
/// assert!(!store.spend(&request).await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SpendRequest {
    /// The key that the decision allowed.
    pub key_id: KeyId,
    /// The version of its record.
    pub version: u64,
    /// The lineage of the usage.
    pub lineage: KeyId,
    /// The usage before the decision, as it is stored.
    pub before: Usage,
    /// The usage after the decision, in the time of the store's clock.
    pub after: Usage,
}

impl SpendRequest {
    /// The request for a decision on `record`.
    #[must_use]
    pub const fn new(record: &KeyRecord, before: Usage, after: Usage) -> Self {
        Self {
            key_id: record.id,
            version: record.version,
            lineage: record.lineage,
            before,
            after,
        }
    }
}
