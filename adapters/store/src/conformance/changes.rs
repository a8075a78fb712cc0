//! Changes: all or nothing, only over the previous version, and never over a revocation.

use std::sync::Arc;

use keystile::{Status, Usage};

use super::fixture::*;
use crate::batch::{Batch, Upkeep};
use crate::error::StoreError;
use crate::store::Store;

/// K3, L4: a batch that fails changes nothing.
pub(super) async fn a_batch_is_written_whole_or_not_at_all<S: Store>(store: Arc<S>) {
    let (first, second) = (plain(1), plain(2));
    insert(&*store, [&first, &second]).await;
    let mut counted = plain(3);
    counted.remaining_uses = Some(5);
    let (mut changed, mut stale) = (next(&first), second.clone());
    changed.owner = Some("changed".into());
    stale.version = 7;
    let mut taken = plain(4);
    taken.digest = first.digest;

    let before = all_events(&*store).await;
    let doomed = [
        Batch {
            inserts: vec![counted.clone(), taken],
            ..Batch::new()
        },
        Batch {
            inserts: vec![counted.clone()],
            updates: vec![stale.clone()],
            ..Batch::new()
        },
        Batch {
            updates: vec![changed.clone(), stale.clone()],
            ..Batch::new()
        },
        Batch {
            updates: vec![changed.clone(), changed.clone()],
            ..Batch::new()
        },
        Batch {
            inserts: vec![counted.clone()],
            updates: vec![changed.clone(), stale],
            ..Batch::new()
        },
    ];
    for (mut batch, number) in doomed.into_iter().zip(0..) {
        batch.events = vec![event(1), event(2)];
        let batch = noted(batch);
        let refused = store.commit(&batch).await;
        assert!(
            matches!(refused, Err(StoreError::Stale | StoreError::Duplicate)),
            "batch {number} is refused, since a part of it cannot be written: {refused:?}",
        );
        let context = format!("after batch {number}, which was refused");
        assert_same(find(&*store, &first.id).await.as_ref(), &first, &context);
        assert_same(find(&*store, &second.id).await.as_ref(), &second, &context);
        assert!(
            find(&*store, &counted.id).await.is_none(),
            "{context}: no record"
        );
        let usage = store.usage(&counted.lineage).await.unwrap().usage;
        assert_eq!(usage, Usage::default(), "{context}: no usage");
        assert_eq!(all_events(&*store).await, before, "{context}: no event");
    }

    let whole = noted(Batch {
        inserts: vec![counted.clone()],
        updates: vec![changed.clone()],
        events: vec![event(1), event(2)],
        ..Batch::new()
    });
    store
        .commit(&whole)
        .await
        .expect("the batch is written without its invalid part");
    assert_same(
        find(&*store, &first.id).await.as_ref(),
        &changed,
        "after a whole batch",
    );
    assert_same(
        find(&*store, &counted.id).await.as_ref(),
        &counted,
        "after a whole batch",
    );
    assert_eq!(
        all_events(&*store).await,
        [before, whole.events].concat(),
        "after a whole batch"
    );
    store
        .commit(&Batch::new())
        .await
        .expect("an empty batch changes nothing, and is not an error");
}

/// A change without an event would not reach the processes that cache the record.
pub(super) async fn a_record_without_an_event_is_refused<S: Store>(store: Arc<S>) {
    let record = plain(1);
    insert(&*store, [&record]).await;
    let before = all_events(&*store).await;
    let mut changed = next(&record);
    changed.owner = Some("changed".into());
    let renewed = Upkeep::digest(&changed);
    let events = [
        vec![],
        vec![event(1)],
        vec![event(2).with_version(2)],
        vec![event(1).with_version(1)],
        vec![event(1).with_version(3)],
    ];
    let (insert, update, upkeep) = (vec![plain(2)], vec![changed.clone()], vec![renewed]);
    for events in events {
        let batches = [
            (insert.clone(), vec![], vec![]),
            (vec![], update.clone(), vec![]),
            (vec![], vec![], upkeep.clone()),
            (vec![plain(3)], update.clone(), vec![]),
        ];
        for (inserts, updates, upkeep) in batches {
            let batch = Batch {
                inserts,
                updates,
                upkeep,
                events: events.clone(),
                ..Batch::new()
            };
            let refused = store.commit(&batch).await;
            assert!(
                matches!(refused, Err(StoreError::WithoutEvent)),
                "a record without an event of its id and version is refused: {refused:?} for {batch:?}",
            );
        }
    }
    assert_same(
        find(&*store, &record.id).await.as_ref(),
        &record,
        "after changes without events",
    );
    for number in [2, 3] {
        assert!(find(&*store, &id(number)).await.is_none(), "no record");
    }
    assert_eq!(all_events(&*store).await, before, "no event");
}

/// Upkeep writes its field and the version, whatever else its author has read.
pub(super) async fn upkeep_writes_one_field<S: Store>(store: Arc<S>) {
    let mut record = full(1);
    record.status = Status::Active;
    insert(&*store, [&record]).await;
    let mut expected = record.clone();
    for round in 0..6 {
        // What an older copy of the record, or none at all, would have in the other fields.
        let mut read = plain(1);
        read.version = expected.version + 1;
        read.lineage = expected.lineage;
        read.digest = digest(7);
        read.overlap_until = Some(at(77));
        let upkeep = match round {
            0 => Upkeep::digest(&read),
            1 => Upkeep::overlap_until(&read),
            2 => Upkeep::ends_at_first_use(&read),
            3 => {
                read.digest = record.digest;
                Upkeep::digest(&read)
            }
            4 => {
                read.status = Status::Suspended;
                Upkeep::status(&read).expect("a suspension can be upkeep")
            }
            _ => {
                read = revoked(&expected, "leaked");
                read.owner = None;
                Upkeep::status(&read).expect("a revocation can be upkeep")
            }
        };
        let context = format!("after {upkeep:?}");
        upkeep.apply(&mut expected);
        let mut batch = Batch::new();
        batch.upkeep.push(upkeep);
        let batch = noted(batch);
        store.commit(&batch).await.expect("upkeep is written");
        assert_same(
            find(&*store, &record.id).await.as_ref(),
            &expected,
            &context,
        );
        let again = store.commit(&batch).await;
        assert!(
            matches!(again, Err(StoreError::Stale)),
            "upkeep on an older version is stale: {again:?}"
        );
    }
    assert!(
        Upkeep::status(&record).is_none(),
        "upkeep does not resume a key"
    );
    let mut later = next(&expected);
    later.status = Status::Suspended;
    let status = Upkeep::status(&later).expect("a suspension can be upkeep");
    for upkeep in [Upkeep::digest(&later), status] {
        let mut batch = Batch::new();
        batch.upkeep.push(upkeep);
        let refused = store.commit(&noted(batch)).await;
        assert!(
            matches!(refused, Err(StoreError::Stale)),
            "there is no upkeep of a revoked key: {refused:?}"
        );
    }
    let mut unknown = Batch::new();
    unknown.upkeep.push(Upkeep::digest(&plain(9)));
    let refused = store.commit(&noted(unknown)).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
}

pub(super) async fn an_update_needs_the_version_before<S: Store>(store: Arc<S>) {
    let first = plain(1);
    insert(&*store, [&first]).await;
    let mut second = next(&first);
    second.client_name = "second".into();
    store
        .commit(&updates([&second]))
        .await
        .expect("the next version is accepted");

    for version in [1, 2, 4, 5, i64::MAX as u64] {
        let mut other = first.clone();
        other.client_name = "other".into();
        other.version = version;
        let refused = store.commit(&updates([&other])).await;
        assert!(
            matches!(refused, Err(StoreError::Stale)),
            "version {version} must not replace version 2: {refused:?}",
        );
        assert_same(
            find(&*store, &first.id).await.as_ref(),
            &second,
            "after a stale update",
        );
    }
    let mut moved = next(&second);
    moved.lineage = id(9);
    let refused = store.commit(&updates([&moved])).await;
    assert!(
        matches!(refused, Err(StoreError::Stale)),
        "an update cannot move a key to another lineage: {refused:?}"
    );

    let mut all = full(1);
    all.status = Status::Suspended;
    all.version = 3;
    store
        .commit(&updates([&all]))
        .await
        .expect("every other field can change");
    all.remaining_uses = second.remaining_uses;
    all.last_used_at = second.last_used_at;
    assert_same(
        find(&*store, &first.id).await.as_ref(),
        &all,
        "with every field changed",
    );
    let mut none = plain(1);
    none.version = 4;
    store
        .commit(&updates([&none]))
        .await
        .expect("and every field can be emptied");
    assert_same(
        find(&*store, &first.id).await.as_ref(),
        &none,
        "with every field emptied",
    );
}

/// P2, K10: no update undoes a revocation, whatever its version.
pub(super) async fn a_revocation_is_final<S: Store>(store: Arc<S>) {
    let active = plain(1);
    insert(&*store, [&active]).await;
    let ended = revoked(&active, "leaked");
    store
        .commit(&updates([&ended]))
        .await
        .expect("an active key is revoked");
    let before = all_events(&*store).await;

    let mut late = next(&active);
    late.owner = Some("late".into());
    let mut resumed = next(&ended);
    resumed.status = Status::Active;
    let mut suspended = next(&ended);
    suspended.status = Status::Suspended;
    let other_reason = revoked(&ended, "another reason");
    let mut other_instant = next(&ended);
    other_instant.status = Status::Revoked {
        at: at(8),
        reason: "leaked".into(),
    };
    for (record, what) in [
        (late, "a change of the record before its revocation"),
        (resumed, "an active status with the next version"),
        (suspended, "a suspended status with the next version"),
        (other_reason, "another reason"),
        (other_instant, "another instant"),
    ] {
        let mut batch = updates([&record]);
        batch.events.push(event(1));
        let refused = store.commit(&batch).await;
        assert!(
            matches!(refused, Err(StoreError::Stale)),
            "{what} must not replace a revocation: {refused:?}",
        );
        let context = format!("after {what}");
        assert_same(find(&*store, &active.id).await.as_ref(), &ended, &context);
        assert_eq!(all_events(&*store).await, before, "{context}: no event");
    }
    let refused = store.commit(&inserts([&active])).await;
    assert!(
        matches!(refused, Err(StoreError::Duplicate)),
        "a new record must not replace a revocation"
    );
    store.note_uses(&[(active.id, at(9))]).await.unwrap();

    let mut tidied = next(&ended);
    tidied.metadata = None;
    tidied.owner = Some("kept".into());
    store
        .commit(&updates([&tidied]))
        .await
        .expect("other fields of a revoked record may change");
    tidied.last_used_at = Some(at(9));
    assert_same(
        find(&*store, &active.id).await.as_ref(),
        &tidied,
        "still revoked",
    );
}

pub(super) async fn an_update_leaves_usage_and_last_use<S: Store>(store: Arc<S>) {
    let mut record = plain(1);
    record.remaining_uses = Some(3);
    insert(&*store, [&record]).await;
    store.note_uses(&[(record.id, at(50))]).await.unwrap();
    let mut stale = next(&record);
    stale.remaining_uses = Some(1_000);
    stale.last_used_at = Some(at(99));
    store.commit(&updates([&stale])).await.unwrap();
    stale.remaining_uses = Some(3);
    stale.last_used_at = Some(at(50));
    assert_same(
        find(&*store, &record.id).await.as_ref(),
        &stale,
        "after an update",
    );
    let usage = store.usage(&record.lineage).await.unwrap().usage;
    assert_eq!(usage.remaining, Some(3), "an update does not restore uses");
}
