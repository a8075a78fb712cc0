//! The orders of lists.

use std::sync::Arc;

use keystile::{KeyId, KeyRecord, Status};

use super::fixture::*;
use crate::batch::Batch;
use crate::error::StoreError;
use crate::filter::{Filter, KeyStatus};
use crate::list::{PAGE_MAX, Page};
use crate::sort::Sort;
use crate::store::Store;

/// Keys that each order has in another one, some of them at the same instants.
fn records() -> Vec<KeyRecord> {
    let record = |number, created, end: Option<u64>, used: Option<u64>| {
        let mut record = plain(number);
        record.created_at = at(created);
        record.expires_at = end.map(at);
        record.last_used_at = used.map(at);
        record.owner = Some("tenant-7".into());
        record
    };
    let mut records = vec![
        record(5, 70, None, Some(100)),
        record(3, 50, Some(900), None),
        record(9, 50, Some(800), Some(300)),
        record(1, 90, Some(900), Some(200)),
        record(7, 60, Some(950), None),
    ];
    records[4].status = Status::Revoked {
        at: at(99),
        reason: "leaked".into(),
    };
    records
}

async fn sorted(store: &impl Store, filter: &Filter, sort: Sort, size: usize) -> Vec<KeyId> {
    let (mut page, mut ids) = (Page::first(size).sorted(sort), Vec::new());
    loop {
        let listed = store.list(filter, page).await;
        let listed = listed.expect("a page in this order can be read");
        assert!(listed.records.len() <= size, "a page has at most {size}");
        ids.extend(listed.records.iter().map(|record| record.id));
        let Some(next) = listed.next else { return ids };
        // As a client gives it back.
        page = page.after(next.to_string().parse().expect("the text of a cursor"));
    }
}

pub(super) async fn a_list_has_the_order_that_is_asked_for<S: Store>(store: Arc<S>) {
    for record in &records() {
        insert(&*store, [record]).await;
    }
    let mut other = plain(4);
    other.created_at = at(55);
    insert(&*store, [&other]).await;
    let (all, owned) = (Filter::default(), Filter::of_owner("tenant-7"));
    for (sort, expected) in [
        (Sort::Inserted, [5, 3, 9, 1, 7]),
        (Sort::Id, [1, 3, 5, 7, 9]),
        (Sort::Issued, [3, 9, 7, 5, 1]),
        (Sort::Ends, [7, 9, 3, 1, 5]),
    ] {
        let expected = expected.map(id);
        for size in [1, 2, 3, 50] {
            let mut listed = sorted(&*store, &all, sort, size).await;
            assert!(listed.contains(&other.id), "sorted by {sort}: all keys");
            listed.retain(|id| *id != other.id);
            assert_eq!(listed, expected, "sorted by {sort}, in pages of {size}");
            let listed = sorted(&*store, &owned, sort, size).await;
            // Two end at the same instant. Without an index, they are in the order of their ids.
            let owned = match sort {
                Sort::Ends => [7, 9, 1, 3, 5].map(id),
                _ => expected,
            };
            assert_eq!(listed, owned, "of an owner, sorted by {sort}: {size}");
        }
    }
    for size in [1, 2, 50] {
        let listed = sorted(&*store, &owned, Sort::LastUsed, size).await;
        assert_eq!(listed, [3, 7, 5, 1, 9].map(id), "sorted by the last use");
    }
    let active = Filter::default().status(KeyStatus::Active, at(100));
    let listed = sorted(&*store, &active, Sort::Issued, 2).await;
    assert_eq!(
        listed,
        [3, 9, 4, 5, 1].map(id),
        "active ones, by their issue"
    );
}

pub(super) async fn a_place_in_an_order_outlasts_its_key<S: Store>(store: Arc<S>) {
    for record in &records() {
        insert(&*store, [record]).await;
    }
    let all = Filter::default();
    for (sort, first, rest) in [
        (Sort::Ends, [7, 9, 3], &[1, 5][..]),
        (Sort::Id, [1, 3, 5], &[7, 9]),
    ] {
        let page = Page::first(3).sorted(sort);
        let listed = store.list(&all, page).await.expect("a page");
        let ids: Vec<_> = listed.records.iter().map(|record| record.id).collect();
        assert_eq!(ids, first.map(id), "the first page by {sort}");
        let next = listed.next.expect("a full page has a next one");
        let mut later = find(&*store, &id(first[2])).await.expect("it is there");
        later.version += 1;
        later.expires_at = Some(at(990));
        store.commit(&updates([&later])).await.expect("a change");
        let listed = store.list(&all, page.after(next)).await.expect("a page");
        let ids: Vec<_> = listed.records.iter().map(|record| record.id).collect();
        let mut expected: Vec<KeyId> = rest.iter().map(|number| id(*number)).collect();
        if sort == Sort::Ends {
            // It is later than the place now, and before the one without an end.
            expected.insert(1, later.id);
        }
        assert_eq!(ids, expected, "after a change of the last key by {sort}");
    }
    let page = Page::first(2).sorted(Sort::Ends);
    let listed = store.list(&all, page).await.expect("a page");
    let last = listed.records.last().expect("two keys").clone();
    let next = listed.next.expect("a full page has a next one").to_string();
    let removal = Batch::of_delete(&last, at(999)).expect("a removal");
    store.commit(&removal).await.expect("it is removed");
    let page = page.after(next.parse().expect("the text of a cursor"));
    let listed = store.list(&all, page).await.expect("a page after it");
    let ids: Vec<_> = listed.records.iter().map(|record| record.id).collect();
    // The fifth key ends with the third one now, and was inserted before it.
    assert_eq!(ids, [1, 5].map(id), "after a key that is removed");
}

pub(super) async fn an_order_without_an_index_is_of_few_keys<S: Store>(store: Arc<S>) {
    let mut inserts: Vec<_> = (1..=PAGE_MAX as u64).map(plain).collect();
    for record in inserts.iter_mut().skip(1) {
        record.owner = Some("many".into());
    }
    let batch = noted(Batch {
        inserts,
        ..Batch::new()
    });
    store.commit(&batch).await.expect("a batch has no limit");
    let page = Page::first(2).sorted(Sort::LastUsed);
    let few = store.list(&Filter::of_owner("many"), page).await;
    assert_eq!(few.expect("fewer than a page").records.len(), 2);
    let many = store.list(&Filter::default(), page).await;
    assert!(
        matches!(many, Err(StoreError::TooManyToSort)),
        "too many keys are not sorted by their last use"
    );
}
