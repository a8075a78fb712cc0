//! Lists: complete, in order, limited, and without keys that the filter excludes.

use std::sync::Arc;

use keystile::{Digest, DigestKind, KeyId, KeyRecord};

use super::fixture::*;
use crate::batch::Batch;
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::{PAGE_MAX, Page};
use crate::store::Store;

/// Records whose ids and times decrease in the order of insertion.
fn backwards(count: u64) -> Vec<KeyRecord> {
    (1..=count)
        .map(|number| {
            let mut record = plain(7_919 * number % 10_007);
            record.created_at = at(1_000_000 - number);
            record
        })
        .collect()
}

pub(super) async fn all_pages(store: &impl Store, filter: &Filter, size: usize) -> Vec<KeyId> {
    let (mut page, mut ids) = (Page::first(size), Vec::new());
    loop {
        let listed = store
            .list(filter, page)
            .await
            .expect("the next page of a list can be read");
        let records = listed.records;
        assert!(records.len() <= size, "a page has at most {size} records");
        assert!(
            listed.next.is_some() || records.len() < size,
            "a full page has a next one"
        );
        ids.extend(records.iter().map(|record| record.id));
        match listed.next {
            Some(next) => page = page.after(next),
            None => return ids,
        }
    }
}

pub(super) async fn pages_are_complete_and_in_order<S: Store>(store: Arc<S>) {
    let records = backwards(25);
    for record in &records {
        insert(&*store, [record]).await;
    }
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    for size in [1, 3, 7, 24, 25, 26] {
        let listed = all_pages(&*store, &Filter::default(), size).await;
        assert_eq!(
            listed, ids,
            "pages of {size} contain each record once, in the order of insertion"
        );
    }
    let unknown = store
        .list(&Filter::default(), Page::first(9).after(id(9_999).into()))
        .await;
    assert!(
        matches!(unknown, Err(StoreError::NotFound)),
        "a list after an unknown record is an error, and not an empty page: {unknown:?}",
    );
}

pub(super) async fn a_page_has_a_limit<S: Store>(store: Arc<S>) {
    let records = backwards(PAGE_MAX as u64 + 1);
    let batch = noted(Batch {
        inserts: records.clone(),
        ..Batch::new()
    });
    store.commit(&batch).await.expect("a batch has no limit");
    for (limit, expected) in [(0, 0), (1, 1), (PAGE_MAX, PAGE_MAX), (usize::MAX, PAGE_MAX)] {
        let page = store
            .list(&Filter::default(), Page::first(limit))
            .await
            .unwrap()
            .records;
        assert_eq!(
            page.len(),
            expected,
            "records in a page with a limit of {limit}"
        );
    }
    let ids: Vec<_> = records.iter().map(|record| record.id).collect();
    let listed = all_pages(&*store, &Filter::default(), PAGE_MAX).await;
    assert_eq!(listed, ids, "the second page contains the rest");
}

pub(super) async fn pages_hold_while_records_change<S: Store>(store: Arc<S>) {
    let records = backwards(6);
    for record in &records {
        insert(&*store, [record]).await;
    }
    let first = store
        .list(&Filter::default(), Page::first(3))
        .await
        .unwrap();
    store
        .commit(&updates([&next(&records[0]), &next(&records[4])]))
        .await
        .unwrap();
    store
        .note_uses(&[(records[2].id, at(5)), (records[5].id, at(5))])
        .await
        .unwrap();
    let late = plain(1);
    insert(&*store, [&late]).await;

    let next = first.next.expect("a full page has a next one");
    let text = next.to_string();
    assert_eq!(
        text,
        records[2].id.as_str(),
        "a cursor is written as the id of the last key"
    );
    let expected: Vec<_> = records
        .iter()
        .chain([&late])
        .map(|record| record.id)
        .collect();
    for cursor in [next, text.parse().unwrap()] {
        let page = Page::first(9).after(cursor);
        let second = store.list(&Filter::default(), page).await.unwrap();
        let listed: Vec<_> = first
            .records
            .iter()
            .chain(&second.records)
            .map(|record| record.id)
            .collect();
        assert_eq!(
            listed, expected,
            "changes do not move records, and new ones are last"
        );
    }
}

/// L3, K8: an owner's list contains no other owner's keys.
pub(super) async fn filters_compare_whole_texts<S: Store>(store: Arc<S>) {
    let owners = [
        None,
        Some(""),
        Some("a"),
        Some("A"),
        Some("a "),
        Some(" a"),
        Some("aa"),
        Some("a%"),
        Some("%"),
        Some("_"),
        Some("a*"),
        Some("a\u{301}"),
        Some("á"),
        Some("null"),
        Some("a' OR '1'='1"),
    ];
    for (owner, number) in owners.into_iter().zip(1..) {
        for (client_name, half) in ["One", "one"].into_iter().zip(0..) {
            let mut record = plain(2 * number + half);
            record.owner = owner.map(Into::into);
            record.client_name = client_name.into();
            insert(&*store, [&record]).await;
        }
    }
    let filter = |owner: Option<&str>, client_name: Option<&str>| Filter {
        owner: owner.map(Into::into),
        client_name: client_name.map(Into::into),
        ..Filter::default()
    };
    for (owner, number) in owners.into_iter().zip(1..).skip(1) {
        let listed = all_pages(&*store, &filter(owner, None), 1).await;
        assert_eq!(
            listed,
            [id(2 * number), id(2 * number + 1)],
            "the keys of {owner:?}"
        );
        let listed = all_pages(&*store, &filter(owner, Some("one")), 9).await;
        assert_eq!(listed, [id(2 * number + 1)], "both filters apply");
    }
    let listed = all_pages(&*store, &filter(None, Some("One")), 4).await;
    assert_eq!(
        listed.len(),
        owners.len(),
        "the keys of a client, with any owner or none"
    );
    for (owner, client_name) in [("b", "One"), ("a", "o%"), ("a", "ONE"), ("a", "")] {
        let listed = all_pages(&*store, &filter(Some(owner), Some(client_name)), 9).await;
        assert!(listed.is_empty(), "{owner} has no client {client_name}");
    }
}

pub(super) async fn a_lineage_is_complete_and_in_order<S: Store>(store: Arc<S>) {
    let first = plain(5);
    let [mut second, mut third] = [plain(9), plain(3)];
    (second.lineage, third.lineage) = (first.id, first.id);
    for record in [&first, &plain(6), &second, &plain(4), &third] {
        insert(&*store, [record]).await;
    }
    let lineage = store.lineage(&first.id).await.unwrap().records;
    let ids: Vec<_> = lineage.iter().map(|record| record.id).collect();
    assert_eq!(
        ids,
        [first.id, second.id, third.id],
        "a lineage, the oldest first"
    );
    assert!(
        store.lineage(&second.id).await.unwrap().records.is_empty(),
        "a lineage is found only by its first key"
    );
}

pub(super) async fn the_peppers_in_use_are_known<S: Store>(store: Arc<S>) {
    assert!(store.pepper_versions().await.unwrap().is_empty());
    let mut expected = Vec::new();
    for (number, pepper) in (1..).zip([None, Some(7), Some(0), Some(u32::MAX), Some(7)]) {
        let mut record = plain(number);
        if let Some(pepper) = pepper {
            let kind = DigestKind::HmacSha256 { pepper };
            record.digest = Digest::new(kind, *digest(number).bytes());
            expected.push(pepper);
        }
        insert(&*store, [&record]).await;
        expected.sort_unstable();
        expected.dedup();
        let used = store.pepper_versions().await.unwrap();
        assert_eq!(used, expected, "the peppers of all keys, in order");
    }
    let last = find(&*store, &id(4)).await.expect("it was inserted");
    let mut ended = updates([&revoked(&last, "leaked")]);
    ended.events.push(event(4));
    store.commit(&ended).await.expect("it can be revoked");
    let used = store.pepper_versions().await.unwrap();
    assert_eq!(used, [0, 7], "a revoked key needs no pepper");
}
