//! The state of a limit is replaced by compare-and-set, and nothing else with it.

use std::sync::Arc;

use keystile::{RateState, Usage};

use super::fixture::*;
use crate::store::Store;

pub(super) async fn a_state_is_replaced_only_if_unchanged<S: Store>(store: Arc<S>) {
    let (mut record, other) = (plain(1), plain(2));
    record.remaining_uses = Some(7);
    insert(&*store, [&record, &other]).await;
    let mut current = RateState::default();
    for bits in [1, 1 << 20, i64::MAX as u64, 1 << 63, u64::MAX, 0] {
        let after = RateState::from_bits(bits);
        for wrong in [1, 1 << 63] {
            let wrong = RateState::from_bits(current.to_bits() ^ wrong);
            let replaced = store.replace_rate(&record.lineage, wrong, after).await;
            assert!(
                !replaced.unwrap(),
                "a state that is not {wrong:?} must not be replaced: it is {current:?}"
            );
            let usage = store.usage(&record.lineage).await.unwrap().usage;
            assert_eq!(usage.rate, current, "the state stays");
        }
        let replaced = store.replace_rate(&record.lineage, current, after).await;
        assert!(replaced.unwrap(), "an unchanged state is replaced");
        current = after;
        let usage = store.usage(&record.lineage).await.unwrap().usage;
        assert_eq!(usage.rate, current, "every bit of the state is kept");
        assert_eq!(usage.remaining, Some(7), "the remaining uses stay");
    }
    let untouched = store.usage(&other.lineage).await.unwrap().usage;
    assert_eq!(untouched, Usage::default(), "the state of no other lineage");

    // It is the lineage's, whatever becomes of its keys.
    let last = RateState::from_bits(77);
    let changed = next(&record);
    store.commit(&updates([&changed])).await.unwrap();
    let ended = revoked(&changed, "left");
    store.commit(&updates([&ended])).await.unwrap();
    let replaced = store.replace_rate(&record.lineage, current, last).await;
    assert!(replaced.unwrap(), "no key is looked at");
    let events = all_events(&*store).await.len();
    let unknown = store.replace_rate(&id(9), RateState::default(), last).await;
    assert!(!unknown.unwrap(), "an unknown lineage has no state");
    assert!(find(&*store, &id(9)).await.is_none());
    let none = store.usage(&id(9)).await.unwrap().usage;
    assert_eq!(none, Usage::default(), "an unknown lineage gets no state");
    assert_eq!(
        all_events(&*store).await.len(),
        events,
        "a state is no event"
    );
}

pub(super) async fn one_of_concurrent_replacements_wins<S: Store + 'static>(store: Arc<S>) {
    let record = plain(1);
    insert(&*store, [&record]).await;
    let mut current = RateState::default();
    for round in 1..=10 {
        let rivals = (1..=8).map(|rival| {
            let store = Arc::clone(&store);
            let after = RateState::from_bits(round * 100 + rival);
            tokio::spawn(async move {
                let replaced = store.replace_rate(&id(1), current, after).await;
                replaced
                    .expect("a replacement does not fail")
                    .then_some(after)
            })
        });
        let rivals: Vec<_> = rivals.collect();
        let mut winners = Vec::new();
        for rival in rivals {
            winners.extend(rival.await.expect("no rival panics"));
        }
        assert_eq!(
            winners.len(),
            1,
            "round {round}: one of 8 concurrent replacements wins"
        );
        current = winners.remove(0);
        let usage = store.usage(&record.lineage).await.unwrap().usage;
        assert_eq!(usage.rate, current, "the state is that of the winner");
    }
}
