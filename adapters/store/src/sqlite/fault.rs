//! What goes wrong with an SQLite file, by kind.

use rusqlite::{Error, ErrorCode};

use crate::error::{StoreError, UnavailableKind};

/// The store's error for one of SQLite's.
pub(super) fn unavailable(error: Error) -> StoreError {
    StoreError::unavailable_because(kind(&error), error)
}

fn kind(error: &Error) -> UnavailableKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => UnavailableKind::Locked,
        Some(ErrorCode::ReadOnly) => UnavailableKind::ReadOnly,
        Some(ErrorCode::DiskFull) => UnavailableKind::Full,
        Some(ErrorCode::NotADatabase) => UnavailableKind::NotADatabase,
        Some(ErrorCode::DatabaseCorrupt) => UnavailableKind::Damaged,
        Some(ErrorCode::CannotOpen) => UnavailableKind::CannotOpen,
        Some(ErrorCode::SystemIoFailure) => UnavailableKind::Io,
        _ if is_without_table(error) => UnavailableKind::NoTables,
        _ => UnavailableKind::Other,
    }
}

/// SQLite has no code for it: a missing table is a mistake in the statement like any other,
/// and only its text has more.
fn is_without_table(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(_, Some(text)) => text.starts_with("no such table"),
        Error::SqlInputError { msg, .. } => msg.starts_with("no such table"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::{Connection, OpenFlags};

    use super::unavailable;
    use crate::error::UnavailableKind;

    fn kind(failed: rusqlite::Result<()>) -> Option<UnavailableKind> {
        unavailable(failed.unwrap_err()).unavailable_kind()
    }

    fn made(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        let table = "CREATE TABLE t (c TEXT); INSERT INTO t VALUES (hex(zeroblob(20000)))";
        connection.execute_batch(table).unwrap();
        connection
    }

    #[test]
    fn each_failure_of_a_file_has_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        let first = made(&path);
        let insert = "INSERT INTO t VALUES (hex(zeroblob(20000)))";

        let second = Connection::open(&path).unwrap();
        second.busy_timeout(core::time::Duration::ZERO).unwrap();
        first.execute_batch("BEGIN IMMEDIATE").unwrap();
        let locked = kind(second.execute_batch(insert));
        assert_eq!(locked, Some(UnavailableKind::Locked));
        first.execute_batch("ROLLBACK").unwrap();

        let reader = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let reader = Connection::open_with_flags(&path, reader).unwrap();
        let refused = kind(reader.execute_batch(insert));
        assert_eq!(refused, Some(UnavailableKind::ReadOnly));

        second.execute_batch("PRAGMA max_page_count = 1").unwrap();
        let full = kind(second.execute_batch(insert));
        assert_eq!(full, Some(UnavailableKind::Full));

        let missing = kind(second.execute_batch("DELETE FROM api_keys"));
        assert_eq!(missing, Some(UnavailableKind::NoTables));
        let mistake = kind(second.execute_batch("DELETE FROM"));
        assert_eq!(mistake, Some(UnavailableKind::Other));

        let elsewhere = Connection::open(folder.path().join("no/keys.db"));
        let elsewhere = kind(elsewhere.map(drop));
        assert_eq!(elsewhere, Some(UnavailableKind::CannotOpen));
    }

    #[test]
    fn a_damaged_file_and_another_one_have_their_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        drop(made(&path));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4_096..].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();
        let read = |path: &Path| {
            let connection = Connection::open(path)?;
            connection.query_row("SELECT count(*) FROM t", [], |_| Ok(()))
        };
        assert_eq!(kind(read(&path)), Some(UnavailableKind::Damaged));
        std::fs::write(&path, "not a database\n".repeat(999)).unwrap();
        assert_eq!(kind(read(&path)), Some(UnavailableKind::NotADatabase));
        if cfg!(target_os = "linux") {
            // Nothing is mapped at its beginning, and so nothing can be read.
            let unreadable = kind(read(Path::new("/proc/self/mem")));
            assert_eq!(unreadable, Some(UnavailableKind::Io));
        }
    }
}
