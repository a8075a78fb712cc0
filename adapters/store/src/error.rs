//! Why a store operation failed.

use core::error::Error as StdError;
use core::fmt;

use keystile::{
    Decision, Denial, Digest, KeyId, KeyRecord, PresentedKey, Request, UnixMillis, Usage, Verifier,
    verify,
};

use crate::derived::DerivedProblem;
use crate::template::TemplateProblem;

/// Why a store operation failed. Its messages contain no key and no digest.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// use keystile_store::{suspend, MemoryStore, StoreError};
///
/// /// The HTTP status for a failure of an admin's request.
/// fn status(error: &StoreError) -> u16 {
///     match error {
///         StoreError::NotFound => 404,
///         StoreError::Stale | StoreError::Duplicate => 409,
///         StoreError::Refused(_) => 422,
///         StoreError::Corrupt(_) => 500,
///         _ => 503,
///     }
/// }
///
/// let unknown = "1AbCdEfGhIjKlMnO".parse()?;
/// let error = suspend(&MemoryStore::new(), &unknown, now).await.unwrap_err();
/// assert_eq!(status(&error), 404);
/// assert_eq!(error.to_string(), "there is no such key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not be reached, or failed; the response to a request is then 503.
    #[error("the store is unavailable")]
    Unavailable {
        /// What to do about it, for code to match on.
        kind: UnavailableKind,
        /// The error of the database or the operating system.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Another writer changed the record: read it again and decide again.
    #[error("the record was changed by another writer")]
    Stale,
    /// A key with this id or digest already exists.
    #[error("a key with this id or digest already exists")]
    Duplicate,
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// A stored row is not a valid record. It is never read as a record that grants more; the
    /// response to a request with its key is then 500.
    #[error("a stored row is damaged: {0}")]
    Corrupt(CorruptRow),
    /// A number is beyond what stores can keep: a version of 0, or a count past `i64::MAX`.
    #[error("a version must be 1 or more, and a count at most 9223372036854775807")]
    OutOfRange,
    /// A record would be written without an event of it: no other process would be notified.
    #[error("each record must be written with an event that has its id and its version")]
    WithoutEvent,
    /// The idempotency key of a request was used by its caller for another one within a day.
    #[error("the idempotency key was used for another request")]
    AnotherRequest,
    /// A request with this idempotency key was answered meanwhile: see
    /// [`issue_once`](crate::issue_once()).
    #[error("a key was issued for this request already")]
    Answered,
    /// A setting of an authenticator, or what names a request, is out of its range; the text states what was expected.
    #[error("{0}")]
    Setting(&'static str),
    /// A key that derives from another, or that others derive from, does not permit the change.
    #[error("{0}")]
    Derived(DerivedProblem),
    /// A list was asked for in an order for which there is no index, of
    /// [`PAGE_MAX`](crate::PAGE_MAX) keys or more.
    #[error(
        "this order has no index, so the filter must select fewer than 1,000 keys by an owner, a \
         client or another indexed field"
    )]
    TooManyToSort,
    /// Something cannot be done with a template.
    #[error("{0}")]
    Template(TemplateProblem),
    /// The core refused the change.
    #[error(transparent)]
    Refused(#[from] keystile::Error),
}

impl From<DerivedProblem> for StoreError {
    fn from(problem: DerivedProblem) -> Self {
        Self::Derived(problem)
    }
}

impl From<TemplateProblem> for StoreError {
    fn from(problem: TemplateProblem) -> Self {
        Self::Template(problem)
    }
}

/// Why a store could not be used.
///
/// ```
/// use std::io;
/// use keystile_store::{StoreError, UnavailableKind};
///
/// let source = io::Error::from(io::ErrorKind::TimedOut);
/// let error = StoreError::unavailable_because(UnavailableKind::Late, source);
/// let advice = match error.unavailable_kind() {
///     Some(UnavailableKind::NoTables) => "create them by migrate()",
///     Some(UnavailableKind::Late | UnavailableKind::Unreachable) => "try again later",
///     _ => "ask the operator",
/// };
/// assert_eq!(advice, "try again later");
/// assert_eq!(StoreError::Stale.unavailable_kind(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnavailableKind {
    /// The URL of a server cannot be used.
    Url,
    /// The file of root certificates that the URL names cannot be used.
    RootCertificates,
    /// The server cannot be reached.
    Unreachable,
    /// The store, or a connection to it, did not answer in time.
    Late,
    /// The server refuses the user or the password.
    Credentials,
    /// The server has no such database.
    NoDatabase,
    /// The server's user lacks a privilege.
    NoRight,
    /// The table `api_keys` of an application cannot be adopted as it is, or not with these
    /// options.
    NotAdoptable,
    /// The table `api_keys` is an application's, and is not adopted, or not entirely.
    NotAdopted,
    /// The database has no tables of keystile.
    NoTables,
    /// The tables are of an earlier version of this program.
    OldTables,
    /// The tables are of a later version of this program.
    TooNew,
    /// The file, or the folder that it is in, is read-only.
    ReadOnly,
    /// There is no space left.
    Full,
    /// What is stored for one key cannot be read. It says nothing about other keys.
    DamagedState,
    /// The file is not a database.
    NotADatabase,
    /// The file is a damaged database.
    Damaged,
    /// The file that should be created exists.
    FileExists,
    /// Another program has locked the file for too long.
    Locked,
    /// The file is missing or cannot be opened.
    CannotOpen,
    /// The file cannot be read or written.
    Io,
    /// Another reason; see the source.
    Other,
}

impl StoreError {
    /// [`Unavailable`](Self::Unavailable) for another reason than those that have a kind.
    pub fn unavailable(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::unavailable_because(UnavailableKind::Other, source)
    }

    /// [`Unavailable`](Self::Unavailable) for a reason of this kind.
    pub fn unavailable_because(
        kind: UnavailableKind,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self::Unavailable {
            kind,
            source: Box::new(source),
        }
    }

    /// The kind of an [`Unavailable`](Self::Unavailable) store.
    #[must_use]
    pub const fn unavailable_kind(&self) -> Option<UnavailableKind> {
        match self {
            Self::Unavailable { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// Where a stored row is damaged, and what was expected there; not what was found.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # #[cfg(feature = "sqlite")] {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("keys.db");
/// use keystile_store::{record, save_issued, SqliteStore, StoreError};
///
/// let store = SqliteStore::open(&path)?;
/// store.migrate().await?;
/// save_issued(&store, &issued).await?;
/// let other_program = rusqlite::Connection::open(&path)?;
/// other_program.execute("UPDATE api_keys SET environment = 'Live!'", [])?;
///
/// let Err(StoreError::Corrupt(row)) = record(&store, &issued.record.id).await else {
///     panic!("an environment is lower case letters and digits");
/// };
/// assert_eq!((row.row, row.key_id, row.column), (1, Some(issued.record.id), "environment"));
/// assert!(!row.to_string().contains("Live!"), "only what was expected");
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptRow {
    /// The row's number in its table.
    pub row: i64,
    /// The key, if its id can be read.
    pub key_id: Option<KeyId>,
    /// The column.
    pub column: &'static str,
    /// What was expected in it.
    pub expected: &'static str,
    /// The key's owner, if that can be read: who may see the key may know of the damage.
    pub owner: Option<Box<str>>,
    /// The name of the key's status, if that can be read; it may be the damage.
    pub status: Option<&'static str>,
    /// The key's version, if that can be read. With it, the key can be revoked and suspended.
    pub version: Option<u64>,
    /// The key's digest, if that can be read. With it, a text with another secret is denied as
    /// for any other key, and nothing is disclosed.
    pub digest: Option<Box<Digest>>,
}

impl CorruptRow {
    /// Damage in a row of which nothing else is known.
    #[must_use]
    pub const fn new(row: i64, column: &'static str, expected: &'static str) -> Self {
        Self {
            row,
            key_id: None,
            column,
            expected,
            owner: None,
            status: None,
            version: None,
            digest: None,
        }
    }

    /// The same damage in a row that belongs to a record that could be read.
    pub(crate) fn beside(self, record: &KeyRecord) -> Self {
        Self {
            key_id: Some(record.id),
            owner: record.owner.clone(),
            status: Some(record.status.as_str()),
            version: Some(record.version),
            digest: Some(Box::new(record.digest)),
            ..self
        }
    }

    /// The denial of a text that is not this key, as if its row were not damaged; `None` if it
    /// is the key, or if that cannot be known.
    pub(crate) fn denies(
        &self,
        verifier: &Verifier,
        key: &PresentedKey<'_>,
        now: UnixMillis,
    ) -> Option<Denial> {
        let (id, digest) = (self.key_id?, **self.digest.as_ref()?);
        let stand_in = KeyRecord::new(id, digest, "-", "-", now).ok()?;
        let (nothing, mut usage) = (Request::new(), Usage::default());
        match verify(verifier, key, Some(&stand_in), &nothing, &mut usage, now) {
            Decision::Deny(denial) if denial.key_id().is_none() => Some(denial),
            _ => None,
        }
    }
}

impl fmt::Display for CorruptRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        if let Some(id) = &self.key_id {
            write!(f, ", key {id}")?;
        }
        write!(f, ", column {}: expected {}", self.column, self.expected)
    }
}

#[cfg(test)]
mod tests {
    use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};

    use super::*;

    #[test]
    fn damage_beside_a_record_tells_whose_it_is() {
        let issuer = Issuer::new(KeyFormat::structured("acme").unwrap());
        let request = IssueRequest::new("Acme").unwrap().owner("acme").unwrap();
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let record = issuer.issue(&request, &mut SysRng, now).unwrap().record;
        let damage = CorruptRow::new(7, "rate_state", "a number").beside(&record);
        assert_eq!((damage.row, damage.column), (7, "rate_state"));
        assert_eq!(damage.key_id, Some(record.id));
        assert_eq!(damage.owner.as_deref(), Some("acme"));
        assert_eq!(damage.status, Some("active"));
        assert_eq!(damage.version, Some(record.version));
        assert_eq!(damage.digest.as_deref(), Some(&record.digest));
    }
}
