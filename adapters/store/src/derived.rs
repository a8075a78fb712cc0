//! The keys that derive from others: what becomes of them, and how a batch relies on them.

use core::fmt;
use std::collections::{HashMap, HashSet};

use keystile::{KeyId, KeyRecord};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::error::StoreError;

/// Most keys that may derive from one key, directly or through others, and are not revoked or
/// expired for a minute: so many are written in one step if it is revoked. The successors of
/// derived keys may be as many again.
pub const DERIVED_KEYS_MAX: usize = 10_000;
/// Most keys in a chain of keys that each derive from the one before, without the first.
pub const DERIVED_DEPTH_MAX: usize = 8;

/// What becomes of the derived keys that would exceed a key after a change of it.
///
/// ```
/// use keystile_store::OfDerived;
///
/// assert_eq!(OfDerived::from_name("revoke"), Some(OfDerived::Revoke));
/// assert_eq!(OfDerived::from_name("delete"), None);
/// assert_eq!(OfDerived::default(), OfDerived::Refuse);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfDerived {
    /// The change is refused, and the error names them.
    #[default]
    Refuse,
    /// They are suspended.
    Suspend,
    /// They are revoked.
    Revoke,
    /// They keep what they have.
    Keep,
}

impl OfDerived {
    /// The answer with this name: `refuse`, `suspend`, `revoke` or `keep`.
    ///
    /// ```
    /// use keystile_store::OfDerived;
    ///
    /// assert_eq!(OfDerived::from_name("revoke"), Some(OfDerived::Revoke));
    /// assert_eq!(OfDerived::from_name("Revoke"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let named = [
            ("refuse", Self::Refuse),
            ("suspend", Self::Suspend),
            ("revoke", Self::Revoke),
            ("keep", Self::Keep),
        ];
        let found = named.into_iter().find(|(own, _)| *own == name);
        found.map(|(_, rule)| rule)
    }
}

/// Whether revoking or suspending a key reaches the keys that derive from it although its
/// successor lives, which they derive from too.
///
/// ```
/// use keystile_store::Reach;
///
/// assert_eq!(Reach::default(), Reach::Last);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// Only if its successor does not live: so the end of an old key ends nothing else.
    #[default]
    Last,
    /// Also if its successor lives: then those that this very key was the source of.
    Own,
}

/// Why a verb refused something because of keys that derive from each other.
///
/// ```
/// # let id: keystile::KeyId = "1AbCdEfGhIjKlMnO".parse()?;
/// use keystile_store::DerivedProblem;
///
/// let problem = DerivedProblem::WouldExceed(vec![id]);
/// assert!(problem.to_string().contains("1AbCdEfGhIjKlMnO"));
/// assert!(DerivedProblem::TooDeep.to_string().contains('8'));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DerivedProblem {
    /// No key of the lineage that it derives from is live.
    SourceNotLive,
    /// [`DERIVED_KEYS_MAX`] keys derive from the first key of the chain.
    TooMany,
    /// The chain already has [`DERIVED_DEPTH_MAX`] derived keys.
    TooDeep,
    /// A derived key would have more than the key that it derives from, or would end after it.
    ExceedsSource,
    /// Keys that have not ended derive from its lineage, so that it cannot be removed.
    SourceOfLive,
    /// These keys would have more than the key that they derive from, or would end after it.
    WouldExceed(Vec<KeyId>),
}

impl fmt::Display for DerivedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceNotLive => f.write_str("the key that it derives from must be live"),
            Self::TooMany => write!(
                f,
                "at most {DERIVED_KEYS_MAX} live keys may derive from one key"
            ),
            Self::TooDeep => write!(
                f,
                "a key may derive from another through at most {DERIVED_DEPTH_MAX} steps"
            ),
            Self::ExceedsSource => {
                f.write_str("a derived key must not exceed the key that it derives from")
            }
            Self::SourceOfLive => f.write_str(
                "keys that have not ended derive from it or its successors: it can be removed \
                 after they are revoked",
            ),
            Self::WouldExceed(keys) => {
                // All of them are in the value: a message must end.
                let shown: Vec<_> = keys.iter().take(20).map(KeyId::as_str).collect();
                let rest = keys.len().saturating_sub(shown.len());
                write!(
                    f,
                    "keys that derive from it would exceed it, and must be suspended, revoked or \
                     kept: {}",
                    shown.join(", ")
                )?;
                match rest {
                    0 => Ok(()),
                    rest => write!(f, " and {rest} more"),
                }
            }
        }
    }
}

/// What a batch relies on: the keys that derive from a lineage, ended ones too, after the batch
/// was written. If they are others, it is stale.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::DerivedState;
///
/// let source = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?.record;
/// let none = DerivedState::of(&source, []);
/// assert_eq!((none.keys, none.versions), (0, 0));
/// let derived = issuer.delegate(&source, &IssueRequest::new("Shop")?, &mut SysRng, now)?.record;
/// assert_ne!(DerivedState::of(&source, [&derived]), none);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DerivedState {
    /// A key of the lineage: one that the batch changes or relies on.
    pub key_id: KeyId,
    /// The lineage that they derive from.
    pub lineage: KeyId,
    /// How many there are.
    pub keys: u64,
    /// The sum of their versions, which each change raises.
    pub versions: u64,
}

impl DerivedState {
    /// The state in which these records derive from the lineage of this one.
    #[must_use]
    pub fn of<'r>(source: &KeyRecord, derived: impl IntoIterator<Item = &'r KeyRecord>) -> Self {
        let mut state = Self {
            key_id: source.id,
            lineage: source.lineage,
            keys: 0,
            versions: 0,
        };
        for record in derived {
            state.add(record.version);
        }
        state
    }

    /// The same with sums from a database.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] if one is negative.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn with_sums(self, keys: i64, versions: i64) -> Result<Self, StoreError> {
        let number = |sum| u64::try_from(sum).map_err(|_| StoreError::OutOfRange);
        Ok(Self {
            keys: number(keys)?,
            versions: number(versions)?,
            ..self
        })
    }

    pub(crate) const fn add(&mut self, version: u64) {
        self.keys = self.keys.saturating_add(1);
        self.versions = self.versions.saturating_add(version);
    }
}

/// Those of the records that derive from a lineage, directly or through others, in their order;
/// also revoked ones.
pub(crate) fn descendants<'r>(records: &[&'r KeyRecord], lineage: &KeyId) -> Vec<&'r KeyRecord> {
    let mut sources: HashMap<KeyId, Vec<KeyId>> = HashMap::new();
    for record in records {
        if let Some(from) = record.derived_from {
            sources
                .entry(from.lineage)
                .or_default()
                .push(record.lineage);
        }
    }
    let mut reached = HashSet::from([*lineage]);
    let mut next = vec![*lineage];
    while let Some(lineage) = next.pop() {
        for derived in sources.get(&lineage).into_iter().flatten() {
            if reached.insert(*derived) {
                next.push(*derived);
            }
        }
    }
    let derives = |record: &&&KeyRecord| {
        record
            .derived_from
            .is_some_and(|from| reached.contains(&from.lineage))
    };
    records.iter().filter(derives).copied().collect()
}
