//! The guards of both databases cover each column that a decision reads.
//!
//! A record is read by the statements `RECORD`, so their columns are the list that the guards
//! in the migrations are compared with.
#![allow(clippy::panic, reason = "this module is a test")]

use std::collections::BTreeSet;

use crate::{postgres, sqlite};

const SQLITE: &str = include_str!("../migrations/sqlite/0003_changes.sql");
const POSTGRES: &str = include_str!("../migrations/postgres/0003_changes.sql");

/// Read for a record, and no part of what a decision is made on: a use is not a change.
const USE: &str = "last_used_at";
/// Guarded apart from the others: it shows whether they changed.
const VERSION: &str = "version";

/// The names after this prefix, such as `k.` or `NEW.`.
fn names<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    let parts = text.split(prefix).skip(1);
    let name = |part: &'t str| {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        &part[..end.unwrap_or(part.len())]
    };
    parts.map(name).filter(|name| !name.is_empty()).collect()
}

/// The text between two others, of which the first occurs once.
fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (before, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start}"));
    assert!(!before.contains(start), "only once: {start}");
    rest.split_once(end).unwrap_or_else(|| panic!("no {end}")).0
}

/// The names in a list that is separated by commas.
fn listed(text: &str) -> BTreeSet<&str> {
    let quotes: &[char] = &['\'', '\n', ' '];
    text.split(',')
        .map(|name| name.trim_matches(quotes))
        .collect()
}

fn without<'t>(names: BTreeSet<&'t str>, name: &str) -> BTreeSet<&'t str> {
    names.into_iter().filter(|other| *other != name).collect()
}

#[test]
fn each_column_of_a_record_is_guarded_in_sqlite() {
    let read = without(names(sqlite::RECORD, "k."), USE);
    let read = without(read, "rowid");
    assert!(read.len() == 31 && read.contains("allowed_endpoints"));
    let guard = "CREATE TRIGGER api_keys_changed AFTER UPDATE OF";
    let body = between(SQLITE, guard, "CREATE TRIGGER");
    let (columns, rest) = body.split_once("ON api_keys").unwrap();
    assert_eq!(listed(columns), read, "the columns that it fires for");
    let compared = between(rest, "(NEW.version = OLD.version AND (", "))");
    let read = without(read, VERSION);
    assert_eq!(
        names(compared, "NEW."),
        read,
        "the columns that it compares"
    );
    assert_eq!(names(compared, "OLD."), read);
    let named = between(rest, "nullif('['", "'[]')");
    assert_eq!(
        names(named, "{\"field\":\""),
        read,
        "the columns that events name"
    );
    assert_eq!(names(named, "NEW."), read);
}

#[test]
fn each_column_of_a_record_is_guarded_in_postgresql() {
    let read = without(names(postgres::RECORD, "k."), USE);
    let read = without(read, "id");
    assert!(read.len() == 33 && read.contains("metadata_text"));
    let guard = "CREATE TRIGGER api_keys_guard BEFORE UPDATE ON api_keys";
    let compared = between(POSTGRES, guard, "EXECUTE");
    let (old, new) = compared.split_once("IS DISTINCT FROM").unwrap();
    assert_eq!(names(old, "OLD."), read, "the columns that it compares");
    assert_eq!(names(new, "NEW."), read);
    let named = between(POSTGRES, "columns CONSTANT TEXT[] := ARRAY[", "]");
    let read = without(read, VERSION);
    assert_eq!(listed(named), read, "the columns that events name");
}

/// The databases have the same columns, but for two that only one needs.
#[test]
fn both_databases_guard_the_same_columns() {
    let mut both = without(names(sqlite::RECORD, "k."), "rowid");
    both.extend(["rate_limit_wide", "metadata_text", "id"]);
    assert_eq!(names(postgres::RECORD, "k."), both);
}
