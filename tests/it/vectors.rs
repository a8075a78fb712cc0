//! Replays tests/vectors/*.json, entry by entry. C and Go read the same files.

mod case;
mod form;

mod change;
mod decisions;
mod explain;
mod grants;
mod keys;
mod life;
mod limits;
mod presented;
mod records;
mod rights;

use std::collections::{BTreeMap, BTreeSet};

/// Every file that a module here replays; a new file must be added to both.
const FILES: [&str; 30] = [
    "change.json",
    "checksums.json",
    "credential_sweeps.json",
    "credentials.json",
    "decisions.json",
    "digest_texts.json",
    "digests.json",
    "endpoints.json",
    "explain.json",
    "grants.json",
    "header_names.json",
    "inspections.json",
    "key_edits.json",
    "keys.json",
    "labels.json",
    "limit_runs.json",
    "limits.json",
    "lookups.json",
    "networks.json",
    "never_matching.json",
    "path_sweeps.json",
    "paths.json",
    "permissions.json",
    "plans.json",
    "policies.json",
    "records.json",
    "requirements.json",
    "responses.json",
    "rotations.json",
    "times.json",
];

/// What the adapters replay, in adapters/store/tests/authenticator/vectors.rs and
/// adapters/redis/tests/redis/script.rs.
const FILES_OF_ADAPTERS: [&str; 2] = ["authenticator.json", "shared_limits.json"];

#[test]
fn there_are_enough_entries_and_each_has_a_unique_name_and_a_reason() {
    let mut files = BTreeMap::new();
    for file in case::files() {
        for case in case::read(&file) {
            assert!(case.why.len() >= 8, "{file}, {}: no reason", case.name);
            let before = files.insert(case.name.clone(), file.clone());
            assert_eq!(before, None, "{file}, {}: the name is taken", case.name);
        }
    }
    assert!(files.len() >= 1_800, "only {} entries", files.len());
}

#[test]
fn every_file_is_replayed() {
    let mut replayed = [&FILES_OF_ADAPTERS[..], &FILES].concat();
    replayed.sort_unstable();
    assert_eq!(
        case::files(),
        replayed,
        "a file that nobody replays holds nothing"
    );
}

#[test]
fn every_attack_on_paths_and_on_credentials_has_an_entry() {
    let answered: BTreeSet<String> = case::files()
        .iter()
        .flat_map(|file| case::read(file))
        .filter_map(|case| case.attack)
        .flat_map(|rows| rows.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let rows = (1..=31)
        .map(|row| format!("A{row}"))
        .chain((1..=16).map(|row| format!("B{row}")));
    let open: Vec<String> = rows.filter(|row| !answered.contains(row)).collect();
    assert_eq!(open, Vec::<String>::new());
    assert!(answered.len() >= 70, "only {} rows", answered.len());
}

#[test]
#[should_panic(expected = "of labels.json differ")]
fn a_wrong_answer_is_noticed() {
    case::replay("labels.json", |_, input: serde_json::Value| input);
}

#[test]
#[should_panic(expected = "unknown field")]
fn an_input_that_is_not_read_is_noticed() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Less {
        #[expect(dead_code, reason = "read by serde alone")]
        kind: String,
    }
    case::replay("labels.json", |_, _: Less| serde_json::Value::Null);
}
