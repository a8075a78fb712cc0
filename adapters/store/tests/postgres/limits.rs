//! Rate limits and counted uses over several processes: the server's clock decides, and a
//! foreign lock delays only writes.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile::{
    Cause, DenialCode, Error, Issued, Millis, RateLimit, RateState, Request, UnixMillis, Usage,
    Verifier,
};
use keystile_store::{
    Authenticator, PostgresStore, RateNote, SpendRequest, Store, StoreError, check,
};

use crate::database::{Database, connect};
use crate::keys::{at, format, kept, request};

const MINUTES_3: u64 = 180_000;
const YEAR: u64 = 365 * 86_400_000;

fn limit(count: u32, window: Millis) -> RateLimit {
    RateLimit::new(count, window).unwrap()
}

fn ten() -> RateLimit {
    limit(10, Millis::from_hours(1))
}

/// How many checks pass, one by each of these clocks.
async fn passed(
    stores: &[PostgresStore],
    key: &Issued,
    clocks: impl IntoIterator<Item = u64>,
) -> usize {
    let (verifier, text) = (Verifier::new(format()), key.key.expose().as_bytes());
    let mut passed = 0;
    for (store, clock) in stores.iter().cycle().zip(clocks) {
        let checked = check(store, &verifier, text, &Request::new(), at(clock)).await;
        match checked.unwrap().decision.denial() {
            None => passed += 1,
            Some(denial) => assert_eq!(denial.cause(), Cause::RateLimit),
        }
    }
    passed
}

async fn two() -> Option<[PostgresStore; 2]> {
    let database = Database::new().await?;
    Some([database.store().await, database.store().await])
}

/// A key that does not expire.
async fn limited(store: &PostgresStore, limit: RateLimit) -> Issued {
    let request = request().never_expires().rate_limit(limit);
    kept(store, &request).await
}

/// A4: neither of two clocks that are three minutes apart, nor one that is a year off, changes
/// what the others may spend.
#[tokio::test]
async fn clocks_of_processes_do_not_matter() {
    let Some(stores) = two().await else { return };
    for clocks in [[0, MINUTES_3], [MINUTES_3, 0], [YEAR, 0], [0, YEAR]] {
        let key = limited(&stores[0], ten()).await;
        let clocks = clocks.into_iter().cycle().take(40);
        assert_eq!(passed(&stores, &key, clocks).await, 10, "a limit of 10");
    }
    // The limit of a minute: what became free by a clock three minutes ahead has not by the
    // server's.
    let key = limited(&stores[0], limit(60, Millis::from_secs(3_600))).await;
    assert_eq!(passed(&stores, &key, [0; 60]).await, 60);
    assert_eq!(passed(&stores, &key, [MINUTES_3; 5]).await, 0);
}

/// A state of the server's own wrong clock, or of an earlier limit, costs one burst; a limit that
/// was raised is in force at once.
#[tokio::test]
async fn a_state_a_year_ahead_costs_one_burst() {
    let Some(stores) = two().await else { return };
    let key = limited(&stores[0], limit(100, Millis::from_secs(10))).await;
    let lineage = key.record.lineage;
    let stored = stores[0].usage(&lineage).await.unwrap();
    let clock = stored.clock.expect("a server has a clock");
    let year = clock.plus(Millis::new(YEAR)).unwrap();
    let far = RateState::default();
    let far = limit(1, Millis::from_secs(1)).admit(far, year).unwrap();
    let request = SpendRequest::new(&key.record, stored.usage, Usage::new(far, None));
    assert!(stores[0].spend(&request).await.unwrap());
    assert_eq!(passed(&stores, &key, [0]).await, 0, "a full burst is spent");
    let usage = stores[1].usage(&lineage).await.unwrap();
    let left = usage
        .usage
        .rate
        .full_at()
        .unwrap()
        .since(usage.clock.unwrap());
    assert!(left <= Millis::from_secs(10), "it is stored: {left:?}");
    // One request is free after a tenth of a second of the server's.
    while passed(&stores, &key, [0]).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The process's clock, in milliseconds after the first instant of the tests.
static CLOCK: AtomicU64 = AtomicU64::new(0);

fn clock() -> Result<UnixMillis, Error> {
    Ok(at(CLOCK.load(Ordering::SeqCst)))
}

/// A process that starts again on a machine with another clock gives nothing away.
#[tokio::test]
async fn a_limit_survives_restarts_with_other_clocks() {
    let Some(stores) = two().await else { return };
    let key = limited(&stores[0], ten()).await;
    let text = key.key.expose().as_bytes();
    let mut all = 0;
    for millis in [MINUTES_3, 0, YEAR, MINUTES_3] {
        CLOCK.store(millis, Ordering::SeqCst);
        let process = Authenticator::builder(Arc::new(stores[0].clone()), Verifier::new(format()));
        let process = process.clock(clock).build().unwrap();
        for _ in 0..4 {
            let answer = process.check(text, &Request::new(), at(millis)).await;
            all += usize::from(answer.decision.is_allow());
        }
        process.stop().await.unwrap();
    }
    // The time that a query takes counts as spent, so that nothing is given away: that may cost
    // the last request.
    assert!((9..=10).contains(&all), "{all} of 16 with a limit of 10");
}

/// States of any bits are compared as unsigned numbers, as the core does.
#[tokio::test]
async fn a_state_beyond_the_signed_numbers_is_held() {
    let Some(stores) = two().await else { return };
    let key = limited(&stores[0], ten()).await;
    let lineage = key.record.lineage;
    for bits in [1 << 63, u64::MAX, i64::MAX as u64, 1, 0] {
        let before = stores[0].usage(&lineage).await.unwrap().usage;
        let after = Usage::new(RateState::from_bits(bits), None);
        let request = SpendRequest::new(&key.record, before, after);
        assert!(stores[0].spend(&request).await.unwrap());
        let spent = ten().admit(RateState::default(), at(0)).unwrap();
        let note = RateNote::new(lineage, spent, ten().reach());
        stores[1].note_rates(&[note], at(0)).await.unwrap();
        let stored = stores[0].usage(&lineage).await.unwrap();
        let left = stored
            .usage
            .rate
            .full_at()
            .unwrap()
            .since(stored.clock.unwrap());
        let expected = if bits > 1 { 3_600_000 } else { 360_000 };
        let range = expected - 60_000..=expected;
        assert!(range.contains(&left.get()), "{bits:x}: {left:?} are left");
    }
}

/// Many processes record the same lineages in any order, and none of them fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn states_are_recorded_in_any_order() {
    let Some(stores) = two().await else { return };
    let mut notes = Vec::new();
    let spent = ten().admit(RateState::default(), at(0)).unwrap();
    for _ in 0..20 {
        let key = limited(&stores[0], ten()).await;
        notes.push(RateNote::new(key.record.lineage, spent, ten().reach()));
    }
    let mut noting = tokio::task::JoinSet::new();
    for number in 0..8_usize {
        let (store, mut notes) = (stores[number % 2].clone(), notes.clone());
        if number % 2 == 0 {
            notes.reverse();
        }
        noting.spawn(async move {
            for _ in 0..20 {
                store.note_rates(&notes, at(0)).await.unwrap();
            }
        });
    }
    noting.join_all().await;
}

/// What another process writes while a note waits for its row is not brought back, though it is
/// further ahead of the clock at which the note arrived than the limit can move a state.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_note_that_waits_for_a_lock_lowers_nothing() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let key = limited(&store, ten()).await;
    let lock = format!(
        "BEGIN; SELECT 1 FROM api_key_usage WHERE lineage = '{}' FOR UPDATE",
        key.record.id
    );
    database.sql(&lock).await.unwrap();
    let once = ten().admit(RateState::default(), at(0)).unwrap();
    let note = RateNote::new(key.record.id, once, ten().reach());
    let noting = {
        let store = store.clone();
        tokio::spawn(async move { store.note_rates(&[note], at(0)).await })
    };
    let probe = connect(&database.url).await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while probe
        .query_one(waiting, &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        == 0
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // So that the clock has moved on.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let full = format!(
        "UPDATE api_key_usage SET rate_state = \
         (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + {}) << 20 \
         WHERE lineage = '{}' RETURNING rate_state",
        ten().reach().get(),
        key.record.id
    );
    let written = database.other.query_one(&full, &[]).await.unwrap();
    let written = written.get::<_, i64>(0).cast_unsigned();
    database.sql("COMMIT").await.unwrap();
    noting.await.unwrap().unwrap();
    let found = store.usage(&key.record.id).await.unwrap().usage;
    assert_eq!(found.rate, RateState::from_bits(written));
}

/// A9: claims that wait for a lock leave connections to the reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_foreign_lock_delays_only_writes() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let mut counted = Vec::new();
    for _ in 0..30 {
        counted.push(kept(&store, &request().uses(10).unwrap()).await);
    }
    let over = |timeout| {
        let process = Authenticator::builder(Arc::new(store.clone()), Verifier::new(format()));
        process.store_timeout(timeout).build().unwrap()
    };
    // Both use the connections of one store, and the claims wait for longer.
    let (process, reader) = (over(Duration::from_secs(5)), over(Duration::from_secs(2)));
    let lock = "BEGIN; LOCK TABLE api_key_usage IN EXCLUSIVE MODE";
    let mut plain = Vec::new();
    for _ in 0..20 {
        plain.push(kept(&store, &request()).await);
    }
    database.sql(lock).await.unwrap();
    let claims: Vec<_> = counted
        .iter()
        .map(|key| {
            let (process, key) = (process.clone(), key.key.expose().to_owned());
            let claim = async move { process.check(key.as_bytes(), &Request::new(), at(1)).await };
            tokio::spawn(claim)
        })
        .collect();
    // All that have a place for a write wait for the lock.
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let probe = connect(&database.url).await;
    while probe
        .query_one(waiting, &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        < 7
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for key in &plain {
        let text = key.key.expose().as_bytes();
        let answer = reader.check(text, &Request::new(), at(1)).await;
        assert!(answer.decision.is_allow(), "{:?}", answer.failure);
    }
    for claim in claims {
        let answer = claim.await.unwrap();
        let code = answer.decision.denial().map(keystile::Denial::code);
        assert_eq!(code, Some(DenialCode::StoreUnavailable));
    }
    database.sql("ROLLBACK").await.unwrap();
    for key in &counted {
        let text = key.key.expose().as_bytes();
        let answer = process.check(text, &Request::new(), at(1)).await;
        assert!(answer.decision.is_allow(), "{:?}", answer.failure);
    }
    let gone: Result<(), StoreError> = process.stop().await;
    gone.unwrap();
}
