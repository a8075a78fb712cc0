//! Limits that several processes count in PostgreSQL: one burst and one rate for all, by the
//! server's clock.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use keystile::{KeyId, KeyRecord, Lookup, Millis, RateLimit, RateState, UnixMillis};
use keystile_store::conformance;
use keystile_store::{
    Batch, Filter, Limits, Listed, ListedEvents, Page, PostgresStore, RateNote, Rest, SpendRequest,
    Store, StoreError, StoredLimits, StoredUsage, Take, Taken,
};
use tokio::task::JoinSet;

use crate::database::Database;
use crate::keys::{kept, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_in_postgres_conform() {
    if Database::new().await.is_none() {
        return;
    }
    conformance::limits::run(async |keys| {
        let store = Database::new().await.unwrap().store().await;
        store.commit(keys).await.unwrap();
        StoredLimits::new(Arc::new(store))
    })
    .await;
}

/// Four processes on one lineage, each with its own connections, and four tasks in each.
struct Fleet {
    processes: Vec<Arc<StoredLimits<Counted>>>,
    statements: Arc<AtomicU32>,
    lineage: KeyId,
}

impl Fleet {
    async fn new() -> Option<Self> {
        let database = Database::new().await?;
        let statements = Arc::default();
        let mut processes = Vec::new();
        for _ in 0..4 {
            let counted = Counted {
                store: database.store().await,
                statements: Arc::clone(&statements),
            };
            processes.push(Arc::new(StoredLimits::new(Arc::new(counted))));
        }
        let store = database.open();
        let lineage = kept(&store, &request().never_expires())
            .await
            .record
            .lineage;
        Some(Self {
            processes,
            statements,
            lineage,
        })
    }

    /// Each task takes until `is_done`; returns the grants of all.
    async fn take(
        &self,
        limit: RateLimit,
        tokens: u32,
        is_done: impl Fn(&Taken) -> bool + Clone + Send + 'static,
    ) -> Vec<Taken> {
        let take = Take::new(self.lineage, limit, tokens);
        let mut tasks = JoinSet::new();
        for process in self.processes.iter().flat_map(|process| [process; 4]) {
            let (process, is_done) = (Arc::clone(process), is_done.clone());
            tasks.spawn(async move {
                let mut grants = Vec::new();
                loop {
                    let taken = process.take(&take).await.unwrap();
                    grants.push(taken);
                    if is_done(&taken) {
                        return grants;
                    }
                }
            });
        }
        tasks.join_all().await.into_iter().flatten().collect()
    }

    async fn look(&self, limit: RateLimit) -> Taken {
        let look = Take::new(self.lineage, limit, 0);
        self.processes[0].take(&look).await.unwrap()
    }
}

fn sum(grants: &[Taken]) -> u32 {
    grants.iter().map(|taken| taken.tokens).sum()
}

/// Sixteen take one by one, then eight at once: one burst is granted in both, and the second
/// needs a fraction of the statements.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_burst_is_granted_to_all_processes_together() {
    let Some(fleet) = Fleet::new().await else {
        return;
    };
    let daily = |limit| RateLimit::new(limit, Millis::from_days(1)).unwrap();
    let mut counts = Vec::new();
    for tokens in [1, 8] {
        let limit = daily(200);
        fleet.statements.store(0, Ordering::SeqCst);
        let grants = fleet.take(limit, tokens, |taken| taken.tokens == 0).await;
        assert_eq!(sum(&grants), 200, "{tokens} at once");
        counts.push(fleet.statements.load(Ordering::SeqCst));
        let mut states: Vec<_> = grants.iter().filter(|taken| taken.tokens > 0).collect();
        states.sort_by_key(|taken| taken.state);
        let mut spent = 0;
        for taken in states {
            spent += taken.tokens;
            let left = limit.quota(taken.state, taken.clock).remaining();
            assert_eq!(left, 200 - spent, "no token is granted twice");
        }
        // In another order than they were taken, all are free again for the second time.
        let taken = grants.iter().filter(|taken| taken.tokens > 0);
        let take = Take::new(fleet.lineage, limit, tokens);
        for (number, taken) in taken.enumerate() {
            let rest = Rest::new(&take, taken, taken.tokens, Millis::from_hours(1));
            fleet.processes[number % 4]
                .give_back(&[rest])
                .await
                .unwrap();
        }
        let free = fleet.look(limit).await;
        assert_eq!(limit.quota(free.state, free.clock).remaining(), 200);
    }
    println!("statements for 200 tokens, one by one and by eight: {counts:?}");
    // Two for each grant, and one for each refusal. Each grant is in the way of one attempt of
    // each other task at most, and each task may have asked twice whether the lineage exists.
    for (count, grants) in counts.into_iter().zip([200, 25]) {
        let range = 2 * grants + 16..=2 * 16 * grants + 16 + 2 * 16;
        assert!(range.contains(&count), "{count} of {range:?}");
    }
}

/// In no time, by the server's clock, is more granted than the limit has.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_rate_is_granted_to_all_processes_together() {
    let Some(fleet) = Fleet::new().await else {
        return;
    };
    // Half of what they could take.
    let limit = RateLimit::with_burst(500, Millis::from_secs(1), 20).unwrap();
    let start = fleet.look(limit).await.clock;
    let second = Millis::from_secs(1);
    let is_done = move |taken: &Taken| taken.clock.since(start) > second;
    let mut grants = fleet.take(limit, 4, is_done).await;
    grants.retain(|taken| taken.tokens > 0);
    grants.sort_by_key(|taken| taken.clock);
    for (at, first) in grants.iter().enumerate() {
        let mut all = 0;
        for last in &grants[at..] {
            all += u64::from(last.tokens);
            let bound = 20 + last.clock.since(first.clock).get() / 2;
            assert!(all <= bound, "{all} from {first:?} to {last:?}");
        }
    }
    println!("{} tokens in a second", sum(&grants));
}

/// A store that counts the statements for limits.
struct Counted {
    store: PostgresStore,
    statements: Arc<AtomicU32>,
}

impl Counted {
    fn counted(&self) -> &PostgresStore {
        self.statements.fetch_add(1, Ordering::SeqCst);
        &self.store
    }
}

impl Store for Counted {
    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.counted().find(lookup).await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.counted().lineage(lineage).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.counted().list(filter, page).await
    }

    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.counted().commit(batch).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.counted().usage(lineage).await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        self.counted().spend(request).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.counted().replace_rate(lineage, before, after).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        self.counted().note_rates(rates, now).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.counted().note_uses(uses).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.counted().events(key_id, after, limit).await
    }
}
