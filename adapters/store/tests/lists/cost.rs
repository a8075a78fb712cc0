//! What the indexes of lists cost: the same writes with and without them, in turns.

use core::time::Duration;
use std::time::Instant;

use keystile::{Event, EventKind, KeyRecord};
use keystile_store::{Batch, Store};

use crate::random::{Random, insert, records};

const ROUNDS: u64 = 20;
const ROWS: u64 = 200;

async fn change(store: &impl Store, records: &[KeyRecord]) {
    let mut batch = Batch::new();
    for record in records {
        let mut later = record.clone();
        later.version += 1;
        later.client_email = Some("ops@acme.example".into());
        let event = Event::new(EventKind::Changed, later.id, later.created_at);
        batch.events.push(event.with_version(later.version));
        batch.updates.push(later);
    }
    store.commit(&batch).await.unwrap();
}

async fn used(store: &impl Store, records: &[KeyRecord]) {
    let uses = records.iter().map(|record| (record.id, record.created_at));
    store.note_uses(&uses.collect::<Vec<_>>()).await.unwrap();
}

async fn times(store: &impl Store, records: &[KeyRecord]) -> [Duration; 3] {
    let begin = Instant::now();
    insert(store, records).await;
    let inserted = begin.elapsed();
    change(store, records).await;
    let changed = begin.elapsed();
    used(store, records).await;
    [inserted, changed - inserted, begin.elapsed() - changed]
}

/// Prints how long inserts, changes and stored uses took.
pub(crate) async fn compare(with: &impl Store, without: &impl Store) {
    let mut random = Random(5);
    let all = records(&mut random, ROUNDS * ROWS);
    let mut sums = [[Duration::ZERO; 3]; 2];
    for (round, part) in all.chunks(ROWS as usize).enumerate() {
        // Who is first takes turns.
        let both = if round % 2 == 0 {
            let first = times(with, part).await;
            [first, times(without, part).await]
        } else {
            let first = times(without, part).await;
            [times(with, part).await, first]
        };
        for (sum, one) in sums.iter_mut().flatten().zip(both.into_iter().flatten()) {
            *sum += one;
        }
    }
    let rows = (ROUNDS * ROWS) as f64;
    for (place, what) in ["inserts", "changes", "uses"].iter().enumerate() {
        let [with, without] = sums.map(|sums| sums[place].as_secs_f64() / rows * 1e6);
        println!("{what}: {with:.0} µs a row with the indexes, {without:.0} µs without");
    }
}
