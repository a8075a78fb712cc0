//! Both stores pass the suite, and a store with any one fault fails it.

#[path = "conformance/faulty.rs"]
mod faulty;

use faulty::{Fault, Faulty};
use keystile_store::{MemoryStore, SqliteStore, conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_memory_conforms() {
    conformance::run(async || MemoryStore::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let count = core::cell::Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        let store = SqliteStore::open(folder.path().join(format!("{}.db", count.get()))).unwrap();
        store.migrate().await.unwrap();
        store
    })
    .await;
    assert!(count.get() > 30, "a store for each case");
}

/// A wrapper without a fault passes, so that those below fail because of their faults.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_a_fault_conforms() {
    conformance::run(async || Faulty::new(Fault::None)).await;
}

macro_rules! faults {
    ($($name:ident: $fault:ident, $breach:literal;)+) => {
        $(#[test]
        fn $name() {
            let breach = breach_of(Fault::$fault);
            assert!(breach.contains($breach), "found for another reason: {breach}");
        })+
    };
}

faults! {
    a_store_that_ignores_versions_fails: IgnoresVersions, "cannot be written";
    a_store_that_folds_case_fails: FoldsCase, "in another case is not found";
    a_store_that_unrevokes_fails: Unrevokes, "must not replace a revocation";
    a_store_that_writes_halves_fails: WritesHalves, "which was refused";
    a_store_that_forgets_events_fails: ForgetsEvents, "a reason is returned unchanged";
    a_store_that_ignores_event_kinds_fails: IgnoresEventKinds, "events of a kind";
    a_store_that_ignores_event_times_fails: IgnoresEventTimes, "events until an instant";
    a_store_that_ignores_event_owners_fails: IgnoresEventOwners, "events of an owner";
    a_store_that_keeps_removed_keys_fails: KeepsRemovedKeys, "a removal of an older version";
    a_store_that_prunes_later_events_fails: PrunesLaterEvents, "an event at the instant stays";
    a_store_that_prunes_without_a_mark_fails: PrunesWithoutMark, "the last removed event says";
    a_store_that_forgets_former_digests_fails: ForgetsFormerDigests, "the export of what was imported";
    a_store_that_drops_imported_rates_fails: DropsImportedRates, "the export of what was imported";
    a_store_that_drops_removed_keys_fails: DropsRemovedKeys, "the export of what was imported";
    a_store_that_knows_no_removed_keys_fails: KnowsNoRemovedKeys, "an import does not fail: Stale";
    a_store_that_knows_no_uses_fails: KnowsNoUses, "more uses";
    a_store_that_forgets_requests_fails: ForgetsRequests, "the same request again";
    a_store_that_answers_twice_fails: AnswersTwice, "a second answer";
    a_store_that_takes_nowhere_for_anywhere_fails: NowhereIsAnywhere, "`allowed_endpoints` is returned";
    a_store_that_spends_blindly_fails: SpendsBlindly, "is Usage";
    a_store_that_spends_for_the_revoked_fails: SpendsForStaleDecisions, "the key does not have that version";
    a_store_that_notes_any_use_fails: NotesAnyUse, "the latest use";
    a_store_that_searches_patterns_fails: SearchesPatterns, "a filter matches only the record";
    a_store_that_ignores_a_status_fails: IgnoresStatus, "status active";
    a_store_that_ignores_labels_fails: IgnoresLabels, "of an environment";
    a_store_that_ignores_a_prefix_fails: IgnoresIdPrefixes, "with a prefix of its id";
    a_store_that_ignores_ends_fails: IgnoresEnds, "ends before an instant";
    a_store_that_ignores_last_uses_fails: IgnoresLastUses, "not used since";
    a_store_that_ignores_issue_times_fails: IgnoresIssueTimes, "issued from an instant on";
    a_store_that_repeats_a_record_fails: RepeatsRecords, "each record once";
    a_store_without_bound_fails: HasNoBound, "in a page with a limit of";
    a_store_that_sorts_by_time_fails: SortsByTime, "listed: `id` is returned";
    a_store_that_ignores_sorts_fails: IgnoresSorts, "sorted by id";
    a_store_that_forgets_next_pages_fails: ForgetsNextPages, "a full page has a next one";
    a_store_that_refills_a_lineage_fails: RefillsLineages, "does not restore uses";
    a_store_that_rounds_to_seconds_fails: RoundsToSeconds, "`created_at` is returned";
    a_store_that_takes_changes_without_events_fails: TakesSilentChanges, "without an event of its id";
    a_store_that_writes_whole_records_for_upkeep_fails: WidensUpkeep, "after Upkeep";
    a_store_that_drops_upkeep_fails: DropsUpkeep, "after Upkeep";
    a_store_that_does_not_set_uses_fails: DropsSetUses, "the record of the outcome";
    a_store_that_overwrites_fails: Overwrites, "can be inserted only once";
    a_store_that_keeps_peppers_of_revoked_keys_fails: KeepsPeppersOfRevokedKeys, "a revoked key needs no pepper";
    a_store_that_ignores_the_last_event_fails: IgnoresTheLastEvent, "the last event is";
    a_store_that_drops_rates_fails: DropsRates, "a first state";
    a_store_that_lowers_rates_fails: LowersRates, "the latest of several";
    a_store_that_keeps_wrong_rates_fails: KeepsWrongRates, "held to one burst";
    a_store_that_ignores_its_clock_fails: IgnoresItsClock, "a first state";
    a_store_that_overwrites_templates_fails: OverwritesTemplates, "a changed template has";
    a_store_that_replaces_presets_fails: ReplacesPresets, "the name of a preset";
    a_store_that_forgets_former_templates_fails: ForgetsFormerTemplates, "a changed template has";
    a_store_that_removes_any_template_fails: RemovesAnyTemplate, "a removal of a removed template";
    a_store_that_repeats_templates_fails: RepeatsTemplates, "each template once";
    a_store_that_finds_no_usage_fails: FindsNoUsage, "a check does not fail: Stale";
}

/// The suite's failure for a store with this fault.
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a part of the tests above"
)]
fn breach_of(fault: Fault) -> String {
    let suite = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).build().unwrap();
        runtime.block_on(conformance::run(async || Faulty::new(fault)));
    });
    let panic = suite.join().expect_err("a faulty store must not pass");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a panic with a text")).to_owned(),
    }
}
