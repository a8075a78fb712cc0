//! Changes at the same time: one wins, and none undoes a revocation.

use std::sync::Arc;

use keystile::{KeyRecord, Status};

use super::fixture::*;
use crate::batch::Batch;
use crate::error::StoreError;
use crate::store::Store;

pub(super) async fn one_of_concurrent_changes_wins<S: Store + 'static>(store: Arc<S>) {
    let mut current = plain(1);
    insert(&*store, [&current]).await;
    let before = all_events(&*store).await.len();
    for round in 0..10 {
        let rivals: Vec<_> = (0..8)
            .map(|rival| {
                let mut record = next(&current);
                record.client_name = format!("rival {rival}").into();
                let mut batch = updates([&record]);
                batch.events.push(event(rival));
                (record, batch)
            })
            .collect();
        let mut winners = Vec::new();
        let tasks: Vec<_> = rivals
            .into_iter()
            .map(|(record, batch)| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { (record, store.commit(&batch).await) })
            })
            .collect();
        for task in tasks {
            match task.await.expect("a commit does not panic") {
                (record, Ok(())) => winners.push(record),
                (_, Err(StoreError::Stale)) => {}
                (_, Err(error)) => panic!("the changes that lose are stale, not {error:?}"),
            }
        }
        assert_eq!(
            winners.len(),
            1,
            "round {round}: one of 8 concurrent changes wins"
        );
        current = winners.remove(0);
        assert_same(
            find(&*store, &current.id).await.as_ref(),
            &current,
            "the record is that of the winner",
        );
        assert_eq!(
            all_events(&*store).await.len(),
            before + 2 * (round + 1),
            "the changes that lose write no event"
        );
    }
}

pub(super) async fn one_of_concurrent_inserts_wins<S: Store + 'static>(store: Arc<S>) {
    for number in 1..=10 {
        let tasks: Vec<_> = (0..8)
            .map(|rival| {
                let store = Arc::clone(&store);
                let mut record = plain(number);
                record.client_name = format!("rival {rival}").into();
                tokio::spawn(async move { store.commit(&inserts([&record])).await })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            match task.await.expect("a commit does not panic") {
                Ok(()) => winners += 1,
                Err(StoreError::Duplicate) => {}
                Err(error) => panic!("the inserts that lose are duplicates, not {error:?}"),
            }
        }
        assert_eq!(winners, 1, "one of 8 concurrent inserts of an id wins");
    }
}

pub(super) async fn a_batch_after_another_event_is_refused<S: Store>(store: Arc<S>) {
    for number in 1..=3 {
        let last = store.last_event().await.unwrap();
        for wrong in [last + 1, last.wrapping_sub(1), u64::MAX] {
            let refused = store.commit(&after(wrong, number)).await;
            assert!(
                matches!(refused, Err(StoreError::Stale)),
                "the last event is {last}, and not {wrong}: {refused:?}",
            );
            assert!(
                find(&*store, &id(number)).await.is_none(),
                "a batch after another event is not written"
            );
        }
        store
            .commit(&after(last, number))
            .await
            .expect("a batch after the last event is written");
    }
}

pub(super) async fn one_of_batches_after_the_same_event_is_written<S: Store + 'static>(
    store: Arc<S>,
) {
    for round in 0..10 {
        let last = store.last_event().await.unwrap();
        let tasks: Vec<_> = (1..=8)
            .map(|rival| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.commit(&after(last, round * 8 + rival)).await })
            })
            .collect();
        let mut winners = 0;
        for task in tasks {
            match task.await.expect("a commit does not panic") {
                Ok(()) => winners += 1,
                Err(StoreError::Stale) => {}
                Err(error) => panic!("the batches that lose are stale, not {error:?}"),
            }
        }
        assert_eq!(
            winners, 1,
            "one of 8 batches after the same event is written"
        );
    }
}

/// A new record that is inserted only if this is the last event.
fn after(last_event: u64, number: u64) -> Batch {
    let mut batch = inserts([&plain(number)]);
    batch.events.push(event(number));
    batch.last_event = Some(last_event);
    batch
}

/// L4: writers that read the record before its revocation cannot undo it.
pub(super) async fn a_revocation_is_final_among_many_writers<S: Store + 'static>(store: Arc<S>) {
    let record = plain(1);
    insert(&*store, [&record]).await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..25 {
                    let read = find(&*store, &id(1)).await.expect("the record is there");
                    let mut write = next(&read);
                    write.client_name = format!("writer {writer}, round {round}").into();
                    match store.commit(&updates([&write])).await {
                        Ok(()) | Err(StoreError::Stale) => {}
                        Err(error) => panic!("a change that loses is stale, not {error:?}"),
                    }
                }
            })
        })
        .collect();
    let is_revoked = |record: &KeyRecord| matches!(record.status, Status::Revoked { .. });
    loop {
        let read = find(&*store, &id(1)).await.expect("the record is there");
        match store.commit(&updates([&revoked(&read, "now")])).await {
            Ok(()) => break,
            Err(StoreError::Stale) => {}
            Err(error) => panic!("a change that loses is stale, not {error:?}"),
        }
    }
    for _ in 0..50 {
        let read = find(&*store, &id(1)).await.expect("the record is there");
        assert!(
            is_revoked(&read),
            "every reader sees a revocation that was acknowledged"
        );
    }
    for writer in writers {
        writer.await.expect("no writer fails");
    }
    let read = find(&*store, &id(1)).await.expect("the record is there");
    assert!(is_revoked(&read), "no writer undid the revocation");
}
