//! Which store a command works on: `sqlite:PATH` or `memory:`.

use std::path::PathBuf;

use crate::values::without_key;

/// The accepted spellings, for every message about a wrong one.
pub(crate) const EXPECTED: &str = "a store is sqlite:PATH or memory:";

/// Schemes that people try, and that this program does not know.
const OTHERS: [&str; 8] = [
    "postgres",
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
    /// In this process alone, and gone with it.
    Memory,
    /// In an SQLite file.
    Sqlite(PathBuf),
}

impl StoreUrl {
    /// Reads `memory:`, `sqlite:PATH` or `sqlite://PATH`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once(':').ok_or(EXPECTED)?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // SQLite would take these for something other than a file of that name.
                if path.is_empty() || path.starts_with("file:") {
                    return Err("a store in a file is sqlite:PATH, such as sqlite:keystile.db");
                }
                if path.contains(":memory:") {
                    return Err("a store in memory is memory:");
                }
                if path.contains(['?', '\0']) {
                    return Err("sqlite:PATH is a path alone, without parameters");
                }
                without_key(path).map(|path| Self::Sqlite(path.into()))
            }
            other if OTHERS.contains(&other) => Err(
                "this kind of store is not supported by the program; a store is sqlite:PATH or memory:",
            ),
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
            "postgres:",
            "postgres://h/db",
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
            StoreUrl::parse("postgres://h/db")
                .unwrap_err()
                .contains("not supported")
        );
    }
}
