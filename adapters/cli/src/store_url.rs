//! The URL of a store: `sqlite:PATH`, `postgres://…` or `memory:`.

#[cfg(feature = "postgres")]
use core::fmt;
use std::path::PathBuf;

#[cfg(feature = "postgres")]
use keystile_store::{PostgresStore, StoreError, UnavailableKind};

use crate::values::without_key;

/// The accepted forms, for every message about a wrong one.
#[cfg(feature = "postgres")]
pub(crate) const EXPECTED: &str = "must be sqlite:PATH, postgres://USER@HOST/DATABASE or memory:";
#[cfg(feature = "postgres")]
const UNSUPPORTED: &str = "this kind of store is not supported; \
     must be sqlite:PATH, postgres://USER@HOST/DATABASE or memory:";
#[cfg(not(feature = "postgres"))]
pub(crate) const EXPECTED: &str = "must be sqlite:PATH or memory:";
#[cfg(not(feature = "postgres"))]
const UNSUPPORTED: &str = "this kind of store is not supported; must be sqlite:PATH or memory:";

#[cfg(feature = "postgres")]
const EXPECTED_SERVER: &str = "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE; \
     only connection parameters may follow";
#[cfg(feature = "postgres")]
const NO_ROOT: &str = "TLS needs trusted certificate authorities: those of this system, or those in \
     the PEM file that sslrootcert names, which needs sslmode=verify-full";

/// Schemes that users may try, but that are not supported.
const OTHERS: &[&str] = &[
    #[cfg(not(feature = "postgres"))]
    "postgres",
    #[cfg(not(feature = "postgres"))]
    "postgresql",
    "mysql",
    "mariadb",
    "redis",
    "rediss",
    "mongodb",
    "file",
];

/// Where the keys' records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// In this process only.
    Memory,
    /// In an SQLite file.
    Sqlite(PathBuf),
    /// On a PostgreSQL server.
    #[cfg(feature = "postgres")]
    Postgres(ServerUrl),
}

/// A URL that may contain a password, and is never printed.
#[derive(Clone, PartialEq, Eq)]
#[cfg(feature = "postgres")]
pub(crate) struct ServerUrl(Box<str>);

#[cfg(feature = "postgres")]
impl ServerUrl {
    /// Parses a URL that the store accepts, without connecting to the server.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let text = without_key(text)?;
        match PostgresStore::open(&text) {
            Ok(_) => Ok(Self(text.into())),
            Err(error) => Err(match error.unavailable_kind() {
                Some(UnavailableKind::RootCertificates) => NO_ROOT,
                _ => EXPECTED_SERVER,
            }),
        }
    }

    pub(crate) fn open(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(&self.0)
    }

    pub(crate) async fn open_existing(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::open_existing(&self.0).await
    }
}

#[cfg(feature = "postgres")]
impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerUrl(..)")
    }
}

impl StoreUrl {
    /// Parses `memory:`, `sqlite:PATH`, `sqlite://PATH` or `postgres://…`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once(':').ok_or(EXPECTED)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // SQLite would not treat these as the name of a file.
                if path.is_empty() || path.starts_with("file:") {
                    return Err("must be sqlite:PATH with a path, such as sqlite:keystile.db");
                }
                if path.contains(":memory:") {
                    return Err("a store in memory must be given as memory:");
                }
                if path.contains(['?', '\0']) {
                    return Err("sqlite:PATH must be a path without parameters");
                }
                without_key(path).map(|path| Self::Sqlite(path.into()))
            }
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => ServerUrl::parse(text).map(Self::Postgres),
            other if OTHERS.contains(&other) => Err(UNSUPPORTED),
            _ => Err(EXPECTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        let file = |path: &str| Ok(StoreUrl::Sqlite(path.into()));
        assert_eq!(StoreUrl::parse("memory:"), Ok(StoreUrl::Memory));
        assert_eq!(StoreUrl::parse("sqlite:keystile.db"), file("keystile.db"));
        assert_eq!(StoreUrl::parse("sqlite:/var/keys.db"), file("/var/keys.db"));
        assert_eq!(
            StoreUrl::parse("sqlite:///var/keys.db"),
            file("/var/keys.db")
        );
        assert_eq!(StoreUrl::parse("sqlite://keys.db"), file("keys.db"));
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_server_is_accepted_and_its_password_not_shown() {
        for text in [
            "postgres://u:s3cr3t@h/d",
            "postgresql://u:s3cr3t@h:6432/d?sslmode=disable",
            "postgres://u:s3cr3t@%2Frun%2Fpostgresql/d?connect_timeout=3",
        ] {
            let url = StoreUrl::parse(text).unwrap();
            assert_eq!(format!("{url:?}"), "Postgres(ServerUrl(..))");
        }
        for (text, said) in [
            ("postgres:", EXPECTED_SERVER),
            ("postgres://", EXPECTED_SERVER),
            ("postgres:///d", EXPECTED_SERVER),
            ("postgres://u:s3cr3t@h:port/d", EXPECTED_SERVER),
            ("postgresql://u:s3cr3t@h/d?frob=1", EXPECTED_SERVER),
            ("postgres://u:s3cr3t@h/d?sslmode=on", EXPECTED_SERVER),
            ("postgres://u:s3cr3t@h/d?sslrootcert=/x", NO_ROOT),
            (
                "postgres://u:s3cr3t@h/d?sslmode=require&sslrootcert=/dev/null",
                NO_ROOT,
            ),
        ] {
            assert_eq!(StoreUrl::parse(text), Err(said), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "memory",
            "memory:x",
            "sqlite",
            "sqlite:",
            "sqlite://",
            "SQLITE:x",
            "keystile.db",
            "sqlite::memory:",
            "sqlite:file:x",
            "sqlite:x?mode=ro",
            "http://x",
            "sqlite:a\0b",
            ":",
            "Postgres://h/db",
            "mysql://h/db",
            "file:x",
        ] {
            let refused = StoreUrl::parse(text).unwrap_err();
            assert!(
                refused.contains("sqlite:PATH") || refused.contains("memory:"),
                "{text}"
            );
        }
        assert!(
            StoreUrl::parse("mysql://h/db")
                .unwrap_err()
                .contains("not supported")
        );
    }
}
