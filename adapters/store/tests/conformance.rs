//! Both stores pass the suite, and a store with any one fault fails it.

#[path = "conformance/altered.rs"]
mod altered;
#[path = "conformance/fault.rs"]
mod fault;
#[path = "conformance/faulty.rs"]
mod faulty;

use fault::Fault;
use faulty::Faulty;
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
    a_store_that_replaces_any_rate_fails: ReplacesAnyRate, "a state that is not";
    a_store_that_replaces_uses_too_fails: ReplacesUsesToo, "the remaining uses stay";
    a_store_that_overwrites_templates_fails: OverwritesTemplates, "a changed template has";
    a_store_that_replaces_presets_fails: ReplacesPresets, "the name of a preset";
    a_store_that_forgets_former_templates_fails: ForgetsFormerTemplates, "a changed template has";
    a_store_that_removes_any_template_fails: RemovesAnyTemplate, "a removal of a removed template";
    a_store_that_repeats_templates_fails: RepeatsTemplates, "each template once";
    a_store_that_ignores_template_versions_fails: IgnoresTemplateVersions, "no such template";
    a_store_that_compares_templates_too_soon_fails: ComparesTemplatesTooSoon, "after the template was changed";
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

macro_rules! found {
    ($($case:ident: $fault:ident;)+) => {
        /// A fault that each case finds by itself.
        const FOUND: &[(&str, Fault)] = &[$((stringify!($case), Fault::$fault)),+];
    };
}

found! {
    nothing_is_found_in_an_empty_store: RefusesUnknownUses;
    records_come_back_as_they_were: NowhereIsAnywhere;
    text_is_data: SearchesPatterns;
    what_no_store_can_keep_is_refused: AcceptsAnything;
    ids_differ_in_case: FoldsCase;
    opaque_keys_are_found_by_their_digests: RoundsToSeconds;
    ids_and_digests_are_taken_once: Overwrites;
    a_batch_is_written_whole_or_not_at_all: IgnoresVersions;
    a_record_without_an_event_is_refused: TakesSilentChanges;
    upkeep_writes_one_field: WidensUpkeep;
    an_update_needs_the_version_before: IgnoresVersions;
    a_revocation_is_final: Unrevokes;
    an_update_leaves_usage_and_last_use: RoundsToSeconds;
    a_key_is_changed_with_an_event: DropsSetUses;
    a_change_of_other_fields_leaves_uses: DropsSetUses;
    a_raise_by_a_change_is_in_force: DropsSetUses;
    derived_keys_are_found: FindsChildrenOnly;
    a_batch_may_rely_on_what_was_read: IgnoresReliance;
    a_batch_relies_on_ended_keys_too: IgnoresReliance;
    uses_are_taken_off_the_source: DropsSetUses;
    a_source_may_not_get_less_than_its_derived_keys: FindsChildrenOnly;
    what_derives_from_an_exceeding_key_ends_too: FindsChildrenOnly;
    a_limit_of_uses_concerns_derived_keys: FindsNoDerivedKeys;
    a_derived_key_may_not_get_more_than_its_source: LosesLineages;
    a_successor_ends_no_later_than_the_source: LosesLineages;
    a_chain_of_derived_keys_has_an_end: LosesLineages;
    a_revocation_leaves_what_ended_before: FindsExpiredDerivedKeys;
    a_revocation_reaches_derived_keys: FindsNoDerivedKeys;
    the_end_of_an_old_key_leaves_derived_keys: WritesHalves;
    what_was_suspended_with_a_source_is_resumed_with_it: FindsChildrenOnly;
    a_derived_key_is_suspended_by_itself_too: FindsNoDerivedKeys;
    what_exceeds_stays_suspended: FindsNoDerivedKeys;
    what_exceeds_its_source_is_not_resumed: FindsNoDerivedKeys;
    no_derived_key_escapes_a_revocation: FindsNoDerivedKeys;
    one_of_concurrent_changes_wins: IgnoresVersions;
    one_of_concurrent_inserts_wins: Overwrites;
    a_batch_after_another_event_is_refused: IgnoresTheLastEvent;
    one_of_batches_after_the_same_event_is_written: IgnoresTheLastEvent;
    a_revocation_is_final_among_many_writers: DropsRevocations;
    usage_is_replaced_only_if_unchanged: SpendsBlindly;
    a_spend_request_for_an_older_record_fails: SpendsForStaleDecisions;
    a_lineage_has_one_usage: RefillsLineages;
    one_use_is_spent_once: FindsNoUsage;
    counted_uses_are_exact: FindsNoUsage;
    a_limit_is_never_exceeded: FindsNoUsage;
    the_latest_use_is_recorded: NotesAnyUse;
    states_are_only_raised: DropsRates;
    a_state_far_ahead_is_held: KeepsWrongRates;
    a_record_is_found_with_its_usage: FindsNoUsage;
    a_state_is_replaced_only_if_unchanged: ReplacesUsesToo;
    one_of_concurrent_replacements_wins: ReplacesAnyRate;
    clocks_that_differ_share_a_limit: FindsNoUsage;
    a_wrong_clock_costs_one_burst: FindsNoUsage;
    a_raised_limit_is_in_force: IgnoresItsClock;
    a_slower_limit_of_a_lineage_is_not_lowered: FindsNoUsage;
    an_explanation_spends_nothing: FindsNoUsage;
    pages_are_complete_and_in_order: RepeatsRecords;
    a_page_has_a_limit: HasNoBound;
    pages_hold_while_records_change: RepeatsRecords;
    filters_compare_whole_texts: SearchesPatterns;
    a_lineage_is_complete_and_in_order: LosesLineages;
    the_peppers_in_use_are_known: KeepsPeppersOfRevokedKeys;
    each_filter_selects: IgnoresEnds;
    keys_without_an_owner_are_selected: IgnoresIdPrefixes;
    filters_apply_together: IgnoresIssueTimes;
    a_match_after_many_rows_is_found: IgnoresStatus;
    a_list_has_the_order_that_is_asked_for: IgnoresSorts;
    a_place_in_an_order_outlasts_its_key: IgnoresSorts;
    an_order_without_an_index_is_of_few_keys: IgnoresSorts;
    a_key_is_removed: KeepsRemovedKeys;
    a_former_digest_of_a_removed_key_stays_refused: ForgetsEvents;
    an_expired_key_that_was_removed_can_be_inserted_again: KeepsRemovedKeys;
    events_of_a_removed_key_stay_with_its_owner: IgnoresEventOwners;
    an_export_is_imported_byte_for_byte: ForgetsFormerDigests;
    an_import_overwrites_nothing: KnowsNoFormerDigests;
    what_was_revoked_elsewhere_stays_refused: DropsRemovedKeys;
    a_removed_key_is_not_imported_over_a_stored_one: KeepsRemovedKeys;
    a_derived_key_needs_its_source: KnowsNoRecords;
    a_lineage_gets_no_more_uses: KnowsNoUses;
    an_import_is_within_the_longest_lifetime: RefusesRevokedInserts;
    a_dry_run_reports_the_same: ForgetsEvents;
    derived_keys_of_a_rotated_source_are_imported: KnowsNoRecords;
    uses_are_not_given_twice: KnowsNoUses;
    a_line_that_has_a_revocation_is_not_present: KnowsNoRemovedKeys;
    a_digest_of_two_revoked_keys_is_imported: KnowsNoRemovedKeys;
    an_imported_key_can_be_revoked: KeepsLowVersions;
    joined_exports_give_no_uses_twice: KnowsNoUses;
    a_former_digest_is_of_one_key: WritesHalves;
    a_digest_of_a_live_key_is_not_remembered_as_revoked: DropsRemovedKeys;
    a_digest_that_a_live_key_had_is_not_remembered_as_revoked: DropsRemovedKeys;
    a_request_has_one_key: AnswersTwice;
    requests_are_per_caller_and_for_a_day: AnswersTwice;
    one_of_concurrent_requests_issues: ForgetsRequests;
    a_template_comes_back_as_it_was: ForgetsFormerTemplates;
    a_template_is_added_once: ReplacesPresets;
    a_template_is_replaced_from_the_version_before: ForgetsFormerTemplates;
    a_template_is_removed: RemovesAnyTemplate;
    templates_are_listed_by_name: RepeatsTemplates;
    a_changed_template_reaches_its_keys: IgnoresLabels;
    a_batch_may_rely_on_a_template: IgnoresTemplateVersions;
    no_batch_is_written_after_its_template_was_changed: ComparesTemplatesTooSoon;
    events_come_back_in_order: ForgetsEvents;
    events_of_one_key: ForgetsEvents;
    a_page_of_events_has_a_limit: ForgetsEvents;
    events_are_selected: IgnoresEventKinds;
    old_events_are_removed: PrunesLaterEvents;
    old_events_are_removed_one_by_one: PrunesAtOnce;
    a_revocation_outlasts_its_events: RoundsToSeconds;
    the_last_event_is_known: ForgetsEvents;
    a_key_lives_and_ends: TakesSilentChanges;
    nothing_is_disclosed_before_the_secret_is_verified: FindsAnyRecord;
    a_lineage_always_has_a_valid_key_during_rotations: LosesLineages;
    the_first_use_ends_the_overlap: TakesSilentChanges;
    a_digest_is_renewed: DropsUpkeep;
}

/// A case that no fault fails would prove nothing, and could be lost without notice.
#[test]
fn each_case_finds_a_fault() {
    let named: Vec<_> = FOUND.iter().map(|(case, _)| *case).collect();
    assert_eq!(named, conformance::CASES);
    let passed: Vec<_> = FOUND
        .iter()
        .filter(|(case, fault)| passes(case, *fault))
        .collect();
    assert!(passed.is_empty(), "cases that find nothing: {passed:?}");
}

/// Whether a store with this fault passes a case.
#[expect(clippy::unwrap_used, reason = "a part of the test above")]
fn passes(case: &'static str, fault: Fault) -> bool {
    let run = std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).build().unwrap();
        runtime.block_on(conformance::run_case(case, async || Faulty::new(fault)));
    });
    run.join().is_ok()
}
