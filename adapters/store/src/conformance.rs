//! The suite that every implementation of [`Store`] must pass.
//!
//! It belongs into an implementation's own tests:
//!
//! ```
//! # tokio::runtime::Builder::new_multi_thread().build().unwrap().block_on(async {
//! keystile_store::conformance::run(async || keystile_store::MemoryStore::new()).await;
//! # });
//! ```
//!
//! A store that is used by several processes is given to it as well with a `make` that
//! hands out one of two handles on the same place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test suite says what is wrong by a panic, as every test does"
)]

mod audit;
mod changes;
mod fixture;
mod identity;
mod lifecycle;
mod lists;
mod records;
mod usage;

use std::sync::Arc;

use crate::store::Store;

/// Holds a store to what [`Store`] promises. `make` gives a fresh, empty one each time.
///
/// It runs inside a tokio runtime; one with several threads finds more, since some cases
/// let many tasks loose on one key.
///
/// # Panics
/// At the first breach, with what was expected. A suite runs as somebody's test, and a
/// panic is how a test fails: an error would have to be looked at to count.
pub async fn run<S: Store + 'static>(make: impl AsyncFn() -> S) {
    /// Runs each case on a store of its own.
    macro_rules! cases {
        ($($module:ident: $($case:ident)+;)+) => {
            $($($module::$case(Arc::new(make().await)).await;)+)+
        };
    }
    cases! {
        records: nothing_is_found_in_an_empty_store
            records_come_back_as_they_were
            text_is_data
            what_no_store_can_keep_is_refused;
        identity: ids_differ_in_case
            opaque_keys_are_found_by_their_digests
            ids_and_digests_are_taken_once;
        changes: a_batch_is_written_whole_or_not_at_all
            an_update_needs_the_version_before
            a_revocation_stands
            an_update_leaves_usage_and_last_use
            of_changes_at_once_one_wins
            of_inserts_at_once_one_wins
            a_revocation_stands_among_many_writers;
        usage: usage_is_exchanged_only_over_what_was_judged
            a_claim_on_an_older_record_loses
            a_lineage_has_one_usage
            one_use_is_redeemed_once
            a_limit_admits_no_more_than_it_says
            the_latest_use_is_noted;
        lists: pages_are_complete_and_in_order
            a_page_has_a_bound
            pages_hold_while_records_change
            filters_compare_whole_texts
            a_lineage_is_told_apart_and_in_order;
        audit: events_come_back_in_order
            events_of_one_key
            a_page_of_events_has_a_bound
            the_last_event_is_known;
        lifecycle: a_key_lives_and_ends
            what_is_not_proved_tells_nothing
            at_least_one_key_lives_while_others_are_rotated
            the_first_use_ends_the_overlap
            a_digest_is_renewed;
    }
}
