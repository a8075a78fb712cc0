//! An authenticator over a store that it opens itself.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use keystile::Verifier;

use super::Authenticator;
use crate::error::StoreError;
#[cfg(feature = "postgres")]
use crate::postgres::PostgresStore;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteStore;

#[cfg(feature = "sqlite")]
impl Authenticator<SqliteStore> {
    /// An authenticator with the defaults of [`builder`](Self::builder) over this SQLite
    /// file. The file and its tables are created or updated if they have to be.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("keystile.db");
    /// use keystile::{DenialCode, KeyFormat, Request, UnixMillis, Verifier};
    /// use keystile_store::Authenticator;
    ///
    /// let verifier = Verifier::new(KeyFormat::structured("acme")?);
    /// let authenticator = Authenticator::open_sqlite(path, verifier).await?;
    ///
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    /// let answer = authenticator.check(b"acme_invented", &Request::new(), now).await;
    /// assert_eq!(answer.decision.denial().unwrap().code(), DenialCode::InvalidKey);
    /// authenticator.stop().await?;
    /// # Ok::<(), keystile_store::StoreError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`SqliteStore::open`], [`SqliteStore::migrate`] and
    /// [`AuthenticatorBuilder::build`](super::AuthenticatorBuilder::build).
    pub async fn open_sqlite(
        path: impl AsRef<Path>,
        verifier: Verifier,
    ) -> Result<Self, StoreError> {
        let store = Arc::new(SqliteStore::open(path)?);
        store.migrate().await?;
        Self::builder(store, verifier).build()
    }
}

#[cfg(feature = "postgres")]
impl Authenticator<PostgresStore> {
    /// An authenticator with the defaults of [`builder`](Self::builder) over the PostgreSQL
    /// server of this URL. Its tables are created or updated if they have to be, and changes
    /// by other processes are read as soon as the server [reports](PostgresStore::subscribe)
    /// them.
    ///
    /// ```no_run
    /// # async fn service() -> Result<(), keystile_store::StoreError> {
    /// use keystile::{KeyFormat, Verifier};
    /// use keystile_store::Authenticator;
    ///
    /// let verifier = Verifier::new(KeyFormat::structured("acme")?);
    /// let url = "postgres://keystile:secret@localhost/keys";
    /// let authenticator = Authenticator::open_postgres(url, verifier).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`PostgresStore::open`], [`PostgresStore::migrate`] and
    /// [`AuthenticatorBuilder::build`](super::AuthenticatorBuilder::build).
    pub async fn open_postgres(url: &str, verifier: Verifier) -> Result<Self, StoreError> {
        let store = Arc::new(PostgresStore::open(url)?);
        store.migrate().await?;
        let changes = store.subscribe();
        Self::builder(store, verifier)
            .change_signal(changes)
            .build()
    }
}
