//! The migrations of SQLite as a C header, for the store in C: a copy of it has no folder beside
//! it that a program could read them from.

use core::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::workspace::{TaskResult, Workspace};

const FROM: &str = "adapters/store/migrations/sqlite";
const TO: &str = "bindings/c/adapters/sqlite/keystile_sqlite_migrations.h";

/// Writes the header again.
pub(crate) fn write(workspace: &Workspace) -> TaskResult {
    let path = workspace.path(TO);
    fs::write(&path, generated(workspace)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// Each file as a list of its lines: a compiler need not accept a text of more than 4,095 bytes.
fn generated(workspace: &Workspace) -> Result<String, String> {
    let mut code = String::from(
        "/* The tables for SQLite: the files of adapters/store/migrations/sqlite, in order.\n \
         *\n * This file is generated; see `cargo xtask header`. */\n\
         #ifndef KEYSTILE_SQLITE_MIGRATIONS_H\n#define KEYSTILE_SQLITE_MIGRATIONS_H\n\n\
         #include <stddef.h>\n",
    );
    let mut names = Vec::new();
    for path in files(workspace)? {
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("KSS_{stem}").to_uppercase();
        let _ = write!(code, "\nstatic const char *const {name}[] = {{\n");
        for line in text.split_inclusive('\n') {
            let _ = writeln!(code, "    {},", literal(line));
        }
        code.push_str("    NULL};\n");
        names.push(name);
    }
    let names = names.join(", ");
    let _ = write!(
        code,
        "\nstatic const char *const *const KSS_MIGRATIONS[] = {{{names}}};\n\n#endif\n"
    );
    Ok(code)
}

fn files(workspace: &Workspace) -> Result<Vec<PathBuf>, String> {
    let folder = workspace.path(FROM);
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    Ok(files)
}

/// A line as a literal of C.
fn literal(line: &str) -> String {
    let mut text = String::from("\"");
    for byte in line.bytes() {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'"' | b'\\' | b'?' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_migrations_of_c_are_the_files() {
        let workspace = Workspace::here();
        let committed = fs::read_to_string(workspace.path(TO)).unwrap_or_default();
        assert!(
            committed == generated(&workspace).expect("the files"),
            "{TO} is not what {FROM} makes; run `cargo xtask header`"
        );
    }

    #[test]
    fn a_line_is_kept_to_the_byte() {
        assert_eq!(literal("a\"b\\ ?\u{e9}\n"), r#""a\"b\\ \?\303\251\n""#);
    }
}
