//! What moves a key from one store to another: its record, and what the store remembers of it.

#[cfg(feature = "portable")]
mod closing;
#[cfg(feature = "portable")]
mod compare;
#[cfg(feature = "portable")]
mod end;
#[cfg(feature = "portable")]
mod held;
#[cfg(feature = "portable")]
mod import;
#[cfg(feature = "portable")]
mod judge;
#[cfg(feature = "portable")]
mod line;
#[cfg(feature = "portable")]
mod object;
#[cfg(feature = "portable")]
mod problem;
#[cfg(feature = "portable")]
mod report;

use std::io;

use keystile::{KeyId, KeyRecord, RateState, UnixMillis};

#[cfg(feature = "portable")]
pub use self::end::ExportEnd;
#[cfg(feature = "portable")]
pub use self::import::{IMPORT_LINES_MAX, Importer};
#[cfg(feature = "portable")]
pub use self::line::{LINE_BYTES_MAX, PortableLine};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use self::line::{of_hex, to_hex};
#[cfg(feature = "portable")]
pub use self::problem::LineProblem;
#[cfg(feature = "portable")]
pub use self::report::{LineReport, LineResult};
use crate::error::{CorruptRow, StoreError};
use crate::list::Cursor;

/// The bytes of a digest, without its kind: a digest that was revoked is refused under any.
///
/// ```
/// use keystile_store::{Asked, DigestBytes};
///
/// let digest: DigestBytes = [7; 32];
/// let mut asked = Asked::default();
/// asked.digests.push(digest);
/// assert_ne!(asked.digests, [[8; 32]]);
/// ```
pub type DigestBytes = [u8; 32];

/// All that a store holds of a key.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{save_issued, Filter, MemoryStore, Page, Store, StoreError};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let exported = store.export(&Filter::default(), Page::first(100)).await?;
/// assert_eq!(exported.keys[0].record, issued.record);
/// assert!(exported.keys[0].former_digests.is_empty());
///
/// let unknown = Page::first(10).after("1AbCdEfGhIjKlMnO".parse()?);
/// let refused = store.export(&Filter::default(), unknown).await;
/// assert!(matches!(refused, Err(StoreError::NotFound)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortableKey {
    /// The record, with the uses that its lineage has left.
    pub record: KeyRecord,
    /// The state of its lineage's rate limit, in the time of the store's clock.
    pub rate: RateState,
    /// The digests that it had before the present one, in ascending order.
    pub former_digests: Vec<DigestBytes>,
}

impl PortableKey {
    /// A key whose limit is unused, and that had no other digest.
    #[must_use]
    pub const fn new(record: KeyRecord) -> Self {
        Self {
            record,
            rate: RateState::from_bits(0),
            former_digests: Vec::new(),
        }
    }
}

/// What a store remembers of a key that was removed: its id is not given to another key, and if
/// it was revoked, its digests stay refused.
///
/// ```
/// use keystile_store::RemovedKey;
///
/// let removed = RemovedKey::new("1AbCdEfGhIjKlMnO".parse()?, 4);
/// assert!(removed.revoked.is_none() && removed.digests.is_empty());
/// assert!("1AbC".parse::<keystile::KeyId>().is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedKey {
    /// Its id.
    pub key_id: KeyId,
    /// The version of its removal.
    pub version: u64,
    /// When it was revoked, and why, if it was.
    pub revoked: Option<(UnixMillis, Box<str>)>,
    /// The last owner.
    pub owner: Option<Box<str>>,
    /// The digests that are remembered of it, in ascending order.
    pub digests: Vec<DigestBytes>,
}

impl RemovedKey {
    /// A key that was not revoked when it was removed.
    #[must_use]
    pub const fn new(key_id: KeyId, version: u64) -> Self {
        Self {
            key_id,
            version,
            revoked: None,
            owner: None,
            digests: Vec::new(),
        }
    }

    /// One whose row cannot be read: no line is the same.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) const fn unread(key_id: KeyId) -> Self {
        Self::new(key_id, 0)
    }
}

/// A page of keys for an export; see [`Store::export`](crate::Store::export).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{Filter, MemoryStore, Page, Store};
///
/// let exported = MemoryStore::new().export(&Filter::default(), Page::first(100)).await?;
/// assert!(exported.keys.is_empty() && exported.damaged.is_empty() && exported.next.is_none());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Exported {
    /// The keys, in the order of their insertion.
    pub keys: Vec<PortableKey>,
    /// The rows that cannot be read, in the same order.
    pub damaged: Vec<CorruptRow>,
    /// Where the next page starts; `None` if this is the last one.
    pub next: Option<Cursor>,
}

/// A page of removed keys; see [`Store::removed_keys`](crate::Store::removed_keys).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{MemoryStore, Store};
///
/// let removed = MemoryStore::new().removed_keys(None, 100).await?;
/// assert!(removed.keys.is_empty() && removed.next.is_none());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RemovedKeys {
    /// The keys, in the order of their ids.
    pub keys: Vec<RemovedKey>,
    /// The rows that cannot be read.
    pub damaged: Vec<CorruptRow>,
    /// The text that the next page starts after; `None` if this is the last one.
    pub next: Option<Box<str>>,
}

/// What an import asks a store about, before it writes.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{Asked, MemoryStore, Store};
///
/// let mut asked = Asked::default();
/// asked.ids.push("1AbCdEfGhIjKlMnO".parse()?);
/// let known = MemoryStore::new().known(&asked).await?;
/// assert!(known.records.is_empty() && known.removed.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Asked {
    /// Keys.
    pub ids: Vec<KeyId>,
    /// Lineages: all of their records, and what they have spent.
    pub lineages: Vec<KeyId>,
    /// Digests: the keys that have or had them.
    pub digests: Vec<DigestBytes>,
}

/// What a store knows of what an import asks about.
///
/// ```
/// use keystile_store::Known;
///
/// let known = Known::default();
/// assert!(known.damaged.is_empty() && known.uses.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Known {
    /// The records with one of the ids, in one of the lineages or with one of the digests.
    pub records: Vec<KeyRecord>,
    /// The rows among them that cannot be read.
    pub damaged: Vec<CorruptRow>,
    /// Those of the ids whose keys were removed, and what is remembered of them.
    pub removed: Vec<RemovedKey>,
    /// Those of the digests that a key had before, and that key if its id can be read.
    pub former_digests: Vec<(DigestBytes, Option<KeyId>)>,
    /// Those of the lineages that have a usage, and the uses that they have left.
    pub uses: Vec<(KeyId, Option<u64>)>,
}

#[cfg(feature = "sqlite")]
impl Asked {
    /// The columns of the table that select the records, with their values.
    pub(crate) fn selectors(&self) -> impl Iterator<Item = (&'static str, String)> {
        let ids = self.ids.iter().map(|id| ("key_id", id.to_string()));
        let lineages = self.lineages.iter();
        let lineages = lineages.map(|lineage| ("lineage", lineage.to_string()));
        let digests = self.digests.iter();
        let digests = digests.map(|digest| ("key_hash", to_hex(digest)));
        ids.chain(lineages).chain(digests)
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Known {
    pub(crate) fn add_former(&mut self, digest: DigestBytes, holder: &str) {
        self.former_digests.push((digest, holder.parse().ok()));
    }

    /// A number that cannot be read is taken as uses that are not counted, which no line exceeds.
    pub(crate) fn add_uses(&mut self, lineage: KeyId, uses: Option<i64>) {
        let uses = uses.and_then(|uses| u64::try_from(uses).ok());
        self.uses.push((lineage, uses));
    }
}

/// What an import writes beside records: see [`Batch::imported`](crate::Batch::imported).
///
/// ```
/// use keystile_store::Imported;
///
/// assert!(Imported::default().removed.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Imported {
    /// The states of the rate limits of lineages that the batch creates, in the time of the
    /// store's clock.
    pub rates: Vec<(KeyId, RateState)>,
    /// Digests that keys had before.
    pub former_digests: Vec<(DigestBytes, KeyId)>,
    /// Keys that were removed elsewhere. If the store has one of them, or remembers it, the batch
    /// is stale.
    pub removed: Vec<RemovedKey>,
}

/// What a store that cannot do it answers.
pub(crate) fn unsupported() -> StoreError {
    StoreError::unavailable(io::Error::new(
        io::ErrorKind::Unsupported,
        "this store does not support it",
    ))
}
