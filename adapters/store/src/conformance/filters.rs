//! Filters: each selects exactly its records, whatever else is in the store.

use std::sync::Arc;

use keystile::{Environment, KeyId, KeyRecord, Status, TemplateName, UnixMillis};

use super::fixture::*;
use super::lists::all_pages;
use crate::batch::Batch;
use crate::filter::{Filter, KeyStatus};
use crate::list::PAGE_MAX;
use crate::store::Store;

/// The instant at which the statuses of [`records`] are read.
const NOW: u64 = 1_000;

/// Records that differ in what filters compare. Each is issued at the instant of its number.
fn records() -> Vec<KeyRecord> {
    let change = |number: u64, change: fn(&mut KeyRecord)| {
        let mut record = plain(number);
        change(&mut record);
        record
    };
    vec![
        plain(1),
        change(2, |record| record.expires_at = Some(at(NOW))),
        change(3, |record| record.expires_at = Some(at(NOW + 1))),
        change(4, |record| record.status = Status::Suspended),
        change(5, |record| {
            record.status = Status::Revoked {
                at: at(7),
                reason: "leaked".into(),
            };
            record.expires_at = Some(at(NOW + 1));
        }),
        change(6, |record| {
            (record.replaced_by, record.overlap_until) = (Some(id(99)), Some(at(NOW)));
        }),
        change(7, |record| {
            (record.replaced_by, record.overlap_until) = (Some(id(99)), Some(at(NOW + 5)));
        }),
        change(8, |record| {
            record.environment = Some(Environment::new("live").unwrap());
            record.scope_type = Some(TemplateName::new("admin").unwrap());
            record.last_used_at = Some(at(500));
        }),
        change(9, |record| {
            record.environment = Some(Environment::new("test").unwrap());
            record.scope_type = Some(TemplateName::new("monitoring").unwrap());
            record.last_used_at = Some(at(499));
        }),
        // Later than all, and an id whose first digits no other has.
        plain(700_000),
    ]
}

async fn lists(store: &impl Store, what: &str, filter: Filter, expected: &[u64]) {
    let expected: Vec<KeyId> = expected.iter().map(|number| id(*number)).collect();
    for size in [1, 2, 50] {
        let listed = all_pages(store, &filter, size).await;
        assert_eq!(listed, expected, "the keys {what}, in pages of {size}");
    }
}

pub(super) async fn each_filter_selects<S: Store>(store: Arc<S>) {
    for record in &records() {
        insert(&*store, [record]).await;
    }
    let (store, all) = (&*store, Filter::default);
    for (status, expected) in
        KeyStatus::ALL
            .into_iter()
            .zip([&[3, 1, 8, 9, 700_000][..], &[7], &[6], &[2], &[4], &[5]])
    {
        let what = format!("with the status {status}");
        lists(store, &what, all().status(status, at(NOW)), expected).await;
    }
    let later = all().status(KeyStatus::Expired, at(NOW + 1));
    lists(store, "that are expired later", later, &[2, 3]).await;

    let environment = |name| all().environment(Environment::new(name).unwrap());
    lists(store, "of an environment", environment("live"), &[8]).await;
    lists(store, "of no such environment", environment("liv"), &[]).await;
    let template = |name| all().template(TemplateName::new(name).unwrap());
    lists(store, "of a template", template("monitoring"), &[9]).await;
    lists(store, "of no such template", template("monitor"), &[]).await;

    let prefix = |text: &str| Filter::default().id_prefix(text);
    lists(
        store,
        "with a prefix of its id",
        prefix("10000000007"),
        &[700_000],
    )
    .await;
    lists(store, "with a whole id", prefix(id(8).as_str()), &[8]).await;
    for wrong in ["0", "%", "_", "1%", "1_", "1*", "?"] {
        lists(store, "with no such prefix of its id", prefix(wrong), &[]).await;
    }

    let ending = |before| all().ending(at(NOW), at(before));
    lists(
        store,
        "whose time ends before an instant",
        ending(NOW + 6),
        &[3, 7],
    )
    .await;
    lists(
        store,
        "that end before an earlier one",
        ending(NOW + 5),
        &[3],
    )
    .await;
    lists(
        store,
        "that end before the next instant",
        ending(NOW + 1),
        &[],
    )
    .await;

    let unused = |since| all().unused_since(at(since));
    lists(
        store,
        "not used since an instant",
        unused(500),
        &[1, 2, 3, 4, 5, 6, 7, 9],
    )
    .await;
    lists(store, "issued after that", unused(3), &[1, 2]).await;

    lists(
        store,
        "issued from an instant on",
        all().issued_from(at(9)),
        &[9, 700_000],
    )
    .await;
    lists(
        store,
        "issued before an instant",
        all().issued_before(at(3)),
        &[1, 2],
    )
    .await;
    let between = all().issued_from(at(3)).issued_before(at(5));
    lists(store, "issued between two", between, &[3, 4]).await;
}

pub(super) async fn keys_without_an_owner_are_selected<S: Store>(store: Arc<S>) {
    let mut owned = plain(2);
    owned.owner = Some("tenant-7".into());
    insert(&*store, [&plain(1), &owned, &plain(3)]).await;
    let mut none = Filter {
        without_owner: true,
        ..Filter::default()
    };
    lists(&*store, "without an owner", none.clone(), &[1, 3]).await;
    none.id_prefix = Some(id(3).as_str().into());
    lists(&*store, "without an owner, with this id", none, &[3]).await;
}

pub(super) async fn filters_apply_together<S: Store>(store: Arc<S>) {
    for (number, owner) in (1..).zip(["a", "b", "a", "b"]) {
        let mut record = plain(number);
        record.owner = Some(owner.into());
        record.expires_at = (number > 2).then(|| at(NOW));
        insert(&*store, [&record]).await;
    }
    let expired = Filter::of_owner("a").status(KeyStatus::Expired, at(NOW));
    lists(&*store, "of an owner that are expired", expired, &[3]).await;
    let active = Filter::of_client("Acme Ltd")
        .id_prefix("1000")
        .status(KeyStatus::Active, at(NOW))
        .issued_from(at(2));
    lists(&*store, "of a client that are active", active, &[2]).await;
    let nothing = Filter::of_owner("c").issued_from(UnixMillis::MIN);
    lists(&*store, "of an owner without keys", nothing, &[]).await;
}

/// A store may read a limited number of rows for a page: the list still continues.
pub(super) async fn a_match_after_many_rows_is_found<S: Store>(store: Arc<S>) {
    let count = PAGE_MAX as u64 + 2;
    let mut inserts: Vec<_> = (1..=count).map(plain).collect();
    let (first, last) = (1, count);
    for record in &mut inserts {
        if record.id == id(first) || record.id == id(last) {
            record.expires_at = Some(at(NOW));
        }
    }
    let batch = noted(Batch {
        inserts,
        ..Batch::new()
    });
    store.commit(&batch).await.expect("a batch has no limit");
    let expired = Filter::default().status(KeyStatus::Expired, at(NOW));
    lists(&*store, "after many others", expired, &[first, last]).await;
}
