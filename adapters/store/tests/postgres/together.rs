//! Two stores on one database, as two processes have: they share limits, and one of
//! concurrent changes wins.

use keystile::{EventKind, Millis, PepperRing, RateLimit, RotationPolicy, SysRng};
use keystile_store::{PostgresStore, Store, StoreError, record, resume, revoke, rotate, suspend};
use tokio::task::JoinSet;

use crate::database::Database;
use crate::keys::{answer, at, cause, format, kept, request};

async fn two() -> Option<[PostgresStore; 2]> {
    let database = Database::new().await?;
    Some([database.store().await, database.store().await])
}

/// Sends concurrent requests through both; returns the number that is allowed.
async fn admitted(stores: &[PostgresStore; 2], key: &str, requests: usize) -> usize {
    let mut asking = JoinSet::new();
    for number in 0..requests {
        let (store, key) = (stores[number % 2].clone(), key.to_owned());
        asking.spawn(async move { answer(&store, &key).await.unwrap().decision.is_allow() });
    }
    asking.join_all().await.into_iter().filter(|ok| *ok).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_is_shared() {
    let Some(stores) = two().await else { return };
    let limit = RateLimit::new(12, Millis::from_hours(1)).unwrap();
    let limited = kept(&stores[0], &request().rate_limit(limit)).await;
    assert_eq!(admitted(&stores, limited.key.expose(), 40).await, 12);
    let counted = kept(&stores[1], &request().uses(7).unwrap()).await;
    assert_eq!(admitted(&stores, counted.key.expose(), 30).await, 7);
}

/// P10, K3: a key that is rotated through both concurrently has one successor.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_concurrent_rotations_wins() {
    let Some(stores) = two().await else { return };
    for _ in 0..10 {
        let issued = kept(&stores[0], &request()).await;
        let mut rotating = JoinSet::new();
        for number in 0..8 {
            let (store, id) = (stores[number % 2].clone(), issued.record.id);
            rotating.spawn(async move {
                let (policy, none) = (RotationPolicy::default(), PepperRing::none());
                let format = format();
                rotate(
                    &store,
                    &id,
                    &policy,
                    Some(&format),
                    &none,
                    &mut SysRng,
                    at(1),
                )
                .await
            });
        }
        let done = rotating.join_all().await;
        let won: Vec<_> = done.iter().filter_map(|done| done.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "{done:?}");
        let lost =
            |done: &Result<_, StoreError>| matches!(done, Ok(_) | Err(StoreError::Refused(_)));
        assert!(done.iter().all(lost), "and the others are told: {done:?}");
        let lineage = stores[1].lineage(&issued.record.id).await.unwrap().records;
        assert_eq!(lineage.len(), 2);
        assert_eq!(lineage[0].replaced_by, Some(lineage[1].id));
        assert_eq!(cause(&stores[1], won[0].key.expose()).await, None);
    }
}

/// P2, K10: a revocation is final among suspensions, resumptions and last uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_is_final_among_many_writers() {
    let Some(stores) = two().await else { return };
    for _ in 0..5 {
        let issued = kept(&stores[0], &request()).await;
        let id = issued.record.id;
        let mut working = JoinSet::new();
        for number in 0..6_u64 {
            let store = stores[usize::try_from(number % 2).unwrap()].clone();
            working.spawn(async move {
                for round in 0..10 {
                    let now = at(number * 100 + round);
                    let _ = suspend(&store, &id, now).await;
                    let _ = resume(&store, &id, now).await;
                    store.note_uses(&[(id, now)]).await.unwrap();
                }
            });
        }
        let revoked = revoke(&stores[1], &id, "leaked", at(5)).await.unwrap();
        let revoked = revoked.into_record().unwrap();
        let seen = record(&stores[0], &id).await.unwrap();
        assert_eq!(seen.status, revoked.status, "the other sees it at once");
        working.join_all().await;
        let end = record(&stores[0], &id).await.unwrap();
        assert_eq!(
            (&end.status, end.version),
            (&revoked.status, revoked.version)
        );
        let events = stores[0].events(Some(&id), 0, 1_000).await.unwrap().events;
        let (_, last) = events.last().unwrap();
        assert_eq!(last.kind, EventKind::Revoked, "after it nothing happened");
    }
}

/// Last uses in bulk do not deadlock, in any order of keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_uses_are_recorded_in_any_order() {
    let Some(stores) = two().await else { return };
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(kept(&stores[0], &request()).await.record.id);
    }
    let mut noting = JoinSet::new();
    for number in 0..8_u64 {
        let store = stores[usize::try_from(number % 2).unwrap()].clone();
        let mut uses: Vec<_> = ids.iter().map(|id| (*id, at(number))).collect();
        if number % 2 == 0 {
            uses.reverse();
        }
        noting.spawn(async move {
            for _ in 0..20 {
                store.note_uses(&uses).await.unwrap();
            }
        });
    }
    noting.join_all().await;
    for id in &ids {
        let found = record(&stores[0], id).await.unwrap();
        assert_eq!(found.last_used_at, Some(at(7)), "the latest of all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_can_migrate_concurrently() {
    let Some(database) = Database::new().await else {
        return;
    };
    let mut migrating = JoinSet::new();
    for _ in 0..8 {
        let store = database.open();
        migrating.spawn(async move { store.migrate().await.expect("it migrates") });
    }
    let steps = migrating.join_all().await;
    let taken: usize = steps.iter().sum();
    assert_eq!(taken, 3, "each step is taken once: {steps:?}");
}
