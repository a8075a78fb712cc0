//! The suite that every implementation of [`Store`] must pass.
//!
//! Call it in the tests of an implementation:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! keystile_store::conformance::run(async || keystile_store::MemoryStore::new()).await;
//! # });
//! ```
//!
//! If several processes can use the store, run it a second time with a `make` that returns a
//! wrapper over two handles on the same database, which alternates between them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test suite reports a failure by a panic, as every test does"
)]

mod audit;
mod cascade;
mod change;
mod changes;
mod concurrent;
mod derived;
mod explain;
mod filters;
mod fixture;
mod identity;
mod issue_once;
mod lifecycle;
pub mod limits;
mod lists;
mod moving;
mod portable;
mod rates;
mod records;
mod removal;
mod replaced_rates;
mod sorts;
mod template_reliance;
mod templates;
mod usage;

use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use crate::store::Store;

/// Tests that a store does what [`Store`] documents. `make` returns a new, empty store at
/// each call.
///
/// Call it inside a tokio runtime. One with several threads finds more failures, since some
/// cases use one key from many tasks.
///
/// # Panics
/// At the first failure, with what was expected. A panic fails the test that runs the suite;
/// a returned error could be ignored.
pub async fn run<S: Store + 'static>(make: impl AsyncFn() -> S) {
    for case in CASES {
        run_case(case, &make).await;
    }
}

/// A future in a box, and made there: those of all cases in one frame would be too large for the
/// stack of a thread without optimisation.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

/// Declares the names of all cases, and how one of them is run by its name.
macro_rules! suite {
    ($($module:ident: $($case:ident)+;)+) => {
        /// The names of the suite's cases, in the order in which [`run`] runs them.
        pub const CASES: &[&str] = &[$($(stringify!($case)),+),+];

        /// Runs one of [`CASES`] on a new store, such as the one that failed before.
        ///
        /// ```
        /// # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
        /// use keystile_store::{MemoryStore, conformance};
        ///
        /// conformance::run_case("one_use_is_spent_once", async || MemoryStore::new()).await;
        /// # });
        /// ```
        ///
        /// # Panics
        /// If the store fails the case, or if there is no case of this name.
        pub async fn run_case<S: Store + 'static>(name: &str, make: impl AsyncFn() -> S) {
            let store = Arc::new(boxed(|| make()).await);
            match name {
                $($(stringify!($case) => boxed(|| $module::$case(store)).await,)+)+
                _ => panic!("there is no case {name}"),
            }
        }
    };
}

suite! {
    records: nothing_is_found_in_an_empty_store
        records_come_back_as_they_were
        text_is_data
        what_no_store_can_keep_is_refused;
    identity: ids_differ_in_case
        opaque_keys_are_found_by_their_digests
        ids_and_digests_are_taken_once;
    changes: a_batch_is_written_whole_or_not_at_all
        a_record_without_an_event_is_refused
        upkeep_writes_one_field
        an_update_needs_the_version_before
        a_revocation_is_final
        an_update_leaves_usage_and_last_use;
    change: a_key_is_changed_with_an_event
        a_change_of_other_fields_leaves_uses
        a_raise_by_a_change_is_in_force;
    derived: derived_keys_are_found
        a_batch_may_rely_on_what_was_read
        a_batch_relies_on_ended_keys_too
        uses_are_taken_off_the_source
        a_source_may_not_get_less_than_its_derived_keys
        what_derives_from_an_exceeding_key_ends_too
        a_limit_of_uses_concerns_derived_keys
        a_derived_key_may_not_get_more_than_its_source
        a_successor_ends_no_later_than_the_source
        a_chain_of_derived_keys_has_an_end;
    cascade: a_revocation_leaves_what_ended_before
        a_revocation_reaches_derived_keys
        the_end_of_an_old_key_leaves_derived_keys
        what_was_suspended_with_a_source_is_resumed_with_it
        a_derived_key_is_suspended_by_itself_too
        what_exceeds_stays_suspended
        what_exceeds_its_source_is_not_resumed
        no_derived_key_escapes_a_revocation;
    concurrent: one_of_concurrent_changes_wins
        one_of_concurrent_inserts_wins
        a_batch_after_another_event_is_refused
        one_of_batches_after_the_same_event_is_written
        a_revocation_is_final_among_many_writers;
    usage: usage_is_replaced_only_if_unchanged
        a_spend_request_for_an_older_record_fails
        a_lineage_has_one_usage
        one_use_is_spent_once
        counted_uses_are_exact
        a_limit_is_never_exceeded
        the_latest_use_is_recorded;
    rates: states_are_only_raised
        a_state_far_ahead_is_held
        a_record_is_found_with_its_usage;
    replaced_rates: a_state_is_replaced_only_if_unchanged
        one_of_concurrent_replacements_wins;
    rates: clocks_that_differ_share_a_limit
        a_wrong_clock_costs_one_burst
        a_raised_limit_is_in_force
        a_slower_limit_of_a_lineage_is_not_lowered;
    explain: an_explanation_spends_nothing;
    lists: pages_are_complete_and_in_order
        a_page_has_a_limit
        pages_hold_while_records_change
        filters_compare_whole_texts
        a_lineage_is_complete_and_in_order
        the_peppers_in_use_are_known;
    filters: each_filter_selects
        keys_without_an_owner_are_selected
        filters_apply_together
        a_match_after_many_rows_is_found;
    sorts: a_list_has_the_order_that_is_asked_for
        a_place_in_an_order_outlasts_its_key
        an_order_without_an_index_is_of_few_keys;
    removal: a_key_is_removed
        a_former_digest_of_a_removed_key_stays_refused
        an_expired_key_that_was_removed_can_be_inserted_again
        events_of_a_removed_key_stay_with_its_owner;
    portable: an_export_is_imported_byte_for_byte
        an_import_overwrites_nothing
        what_was_revoked_elsewhere_stays_refused
        a_removed_key_is_not_imported_over_a_stored_one
        a_derived_key_needs_its_source
        a_lineage_gets_no_more_uses
        an_import_is_within_the_longest_lifetime
        a_dry_run_reports_the_same;
    moving: derived_keys_of_a_rotated_source_are_imported
        uses_are_not_given_twice
        a_line_that_has_a_revocation_is_not_present
        a_digest_of_two_revoked_keys_is_imported
        an_imported_key_can_be_revoked
        joined_exports_give_no_uses_twice
        a_former_digest_is_of_one_key
        a_digest_of_a_live_key_is_not_remembered_as_revoked
        a_digest_that_a_live_key_had_is_not_remembered_as_revoked;
    issue_once: a_request_has_one_key
        requests_are_per_caller_and_for_a_day
        one_of_concurrent_requests_issues;
    templates: a_template_comes_back_as_it_was
        a_template_is_added_once
        a_template_is_replaced_from_the_version_before
        a_template_is_removed
        templates_are_listed_by_name
        a_changed_template_reaches_its_keys;
    template_reliance: a_batch_may_rely_on_a_template
        no_batch_is_written_after_its_template_was_changed;
    audit: events_come_back_in_order
        events_of_one_key
        a_page_of_events_has_a_limit
        events_are_selected
        old_events_are_removed
        old_events_are_removed_one_by_one
        a_revocation_outlasts_its_events
        the_last_event_is_known;
    lifecycle: a_key_lives_and_ends
        nothing_is_disclosed_before_the_secret_is_verified
        a_lineage_always_has_a_valid_key_during_rotations
        the_first_use_ends_the_overlap
        a_digest_is_renewed;
}
