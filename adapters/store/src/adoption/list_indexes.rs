//! The indexes of lists, which an adoption builds after the rows.

/// What they begin with in 0003_changes.sql. Only the note of the version comes after them.
const HEADING: &str = "-- Indexes of lists.";
const CREATE: &str = "CREATE INDEX ";

/// The file without them.
pub(crate) fn without_list_indexes(file: &'static str) -> &'static str {
    file.split_once(HEADING).map_or(file, |(before, _)| before)
}

/// The name of each of them, and what comes after `CREATE INDEX` and the name.
pub(crate) fn list_indexes(
    file: &'static str,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    let indexes = file.split_once(HEADING).map_or("", |(_, indexes)| indexes);
    let statements = indexes.split(';').map(str::trim_start);
    let created = statements.filter_map(|statement| statement.strip_prefix(CREATE));
    created.filter_map(|index| index.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::{CREATE, HEADING, list_indexes, without_list_indexes};

    const FILES: [&str; 2] = [
        include_str!("../../migrations/sqlite/0003_changes.sql"),
        include_str!("../../migrations/postgres/0003_changes.sql"),
    ];

    #[test]
    fn each_index_is_named_once() {
        let [sqlite, postgres] = FILES.map(|file| {
            let names: Vec<_> = list_indexes(file).map(|(name, _)| name).collect();
            assert!(names.iter().all(|name| name.starts_with("api_keys_")));
            names
        });
        assert_eq!(sqlite, postgres);
        assert_eq!(sqlite.len(), 8);
        for file in FILES {
            let before = without_list_indexes(file);
            assert!(before.contains("CREATE INDEX api_keys_derived "));
            assert!(!before.contains("api_keys_by_end"));
            let statements = file.matches("CREATE INDEX").count();
            assert_eq!(statements - before.matches("CREATE INDEX").count(), 8);
        }
    }

    /// An adoption carries out nothing else of what comes after the heading.
    #[test]
    fn only_indexes_and_the_version_come_after_the_heading() {
        for file in FILES {
            let (_, after) = file.split_once(HEADING).unwrap();
            // The rest of the comment is before the first statement.
            let (_, after) = after.split_once("\nDROP INDEX").unwrap();
            let mut statements = after.split(';').map(str::trim).skip(1).peekable();
            while let Some(statement) = statements.next_if(|text| text.starts_with(CREATE)) {
                assert!(!statement.contains("--"), "{statement}");
            }
            let version = statements.next().unwrap_or_default();
            assert!(
                version.starts_with("INSERT INTO keystile_migrations "),
                "{version}"
            );
            assert_eq!(statements.collect::<Vec<_>>(), [""]);
        }
    }
}
