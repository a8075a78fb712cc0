//! Events: complete, unchanged and in order.

use std::sync::Arc;

use keystile::{By, Event, EventKind, UnixMillis};

use super::fixture::*;
use crate::batch::Batch;
use crate::event_filter::EventFilter;
use crate::list::PAGE_MAX;
use crate::prune::count_events_before;
use crate::store::Store;

const KINDS: [EventKind; 11] = [
    EventKind::Issued,
    EventKind::Rotated,
    EventKind::Revoked,
    EventKind::Suspended,
    EventKind::Resumed,
    EventKind::Expired,
    EventKind::Rehashed,
    EventKind::Imported,
    EventKind::Changed,
    EventKind::Deleted,
    EventKind::Pruned,
];

fn batch(events: &[Event]) -> Batch {
    Batch {
        events: events.to_vec(),
        ..Batch::new()
    }
}

pub(super) async fn events_come_back_in_order<S: Store>(store: Arc<S>) {
    // Their times decrease: the order is that of writing.
    let mut events: Vec<_> = (KINDS.into_iter().zip(0..))
        .map(|(kind, number)| Event::new(kind, id(number), at(1_000 - number)))
        .collect();
    events[1].successor = Some(id(77));
    events[2].reason = Some("leaked in a log".into());
    events[3].reason = Some("".into());
    events[4].at = UnixMillis::MIN;
    events[5].at = UnixMillis::MAX;
    events[6].version = Some(i64::MAX as u64);
    events[7].actor = Some("a person".into());
    events[7].origin = Some("2001:db8::7".into());
    events[8] = events[8]
        .clone()
        .with_changes(["owner", "ünïcödé \"quoted\""]);
    events[9].key_id = None;
    store
        .commit(&batch(&events[..3]))
        .await
        .expect("a batch may contain only events");
    store.commit(&batch(&events[3..])).await.unwrap();

    let numbered = store.events(None, 0, 100).await.unwrap().events;
    let (numbers, found): (Vec<_>, Vec<_>) = numbered.into_iter().unzip();
    assert_eq!(
        found, events,
        "events are returned unchanged, in the order of writing"
    );
    assert!(
        numbers[0] > 0,
        "numbers are 1 or more, so that `after: 0` starts at the beginning"
    );
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "numbers increase: {numbers:?}"
    );

    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = store.events(None, after, 3).await.unwrap().events;
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            break;
        };
        assert!(first.0 > after, "a page starts after the requested number");
        after = last.0;
        read.extend(page.into_iter().map(|(_, event)| event));
    }
    assert_eq!(read, events, "pages of 3 contain each event once");
    for after in [after, after + 1, i64::MAX as u64, u64::MAX] {
        let rest = store.events(None, after, 9).await.unwrap().events;
        assert!(rest.is_empty(), "no event follows the last one");
    }
}

pub(super) async fn events_of_one_key<S: Store>(store: Arc<S>) {
    let mut rotated = Event::new(EventKind::Rotated, id(1), at(3));
    rotated.successor = Some(id(2));
    let own = [
        event(1),
        rotated,
        Event::new(EventKind::Revoked, id(2), at(5)),
    ];
    store.commit(&batch(&own[..1])).await.unwrap();
    store.commit(&batch(&[event(3)])).await.unwrap();
    store.commit(&batch(&own[1..])).await.unwrap();

    let of = async |key, after, limit| {
        let listed = store.events(Some(&id(key)), after, limit).await.unwrap();
        listed
            .events
            .into_iter()
            .map(|(_, event)| event)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(1, 0, 9).await, own[..2], "the events of a key");
    assert_eq!(
        of(2, 0, 9).await,
        own[1..],
        "the events of a successor start with the rotation"
    );
    assert_eq!(of(3, 0, 9).await, [event(3)], "no events of other keys");
    assert!(of(4, 0, 9).await.is_empty(), "an unknown key has no events");
    assert_eq!(of(2, 0, 1).await, own[1..2], "a page of a key's events");
    let first = store.events(Some(&id(2)), 0, 1).await.unwrap().events[0].0;
    assert_eq!(of(2, first, 9).await, own[2..], "the page after it");
}

pub(super) async fn the_last_event_is_known<S: Store>(store: Arc<S>) {
    let known = store.last_event().await;
    assert_eq!(known.unwrap(), 0, "the last event of an empty store is 0");
    for count in [1, PAGE_MAX + 1] {
        store.commit(&batch(&vec![event(1); count])).await.unwrap();
        let last = store.last_event().await.unwrap();
        let rest = store.events(None, last, 9).await.unwrap().events;
        assert!(rest.is_empty(), "no event follows the last one");
        let page = store.events(None, last - 1, 9).await.unwrap().events;
        assert_eq!(page, [(last, event(1))], "an event has the last number");
    }
}

pub(super) async fn a_page_of_events_has_a_limit<S: Store>(store: Arc<S>) {
    let events = vec![event(1); PAGE_MAX + 1];
    store.commit(&batch(&events)).await.unwrap();
    for (limit, expected) in [(0, 0), (1, 1), (PAGE_MAX, PAGE_MAX), (usize::MAX, PAGE_MAX)] {
        for key in [None, Some(&id(1))] {
            let page = store.events(key, 0, limit).await.unwrap().events;
            assert_eq!(
                page.len(),
                expected,
                "events in a page with a limit of {limit}"
            );
        }
    }
}

/// The numbers of the events that a filter selects, by pages of this size.
async fn selected(store: &impl Store, filter: &EventFilter, size: usize) -> Vec<u64> {
    let (mut numbers, mut after) = (Vec::new(), 0);
    loop {
        let page = store.list_events(filter, after, size).await.unwrap();
        assert!(page.rows() <= size, "a page of events has a limit");
        let Some(last) = page.last() else {
            return numbers;
        };
        numbers.extend(page.events.into_iter().map(|(number, _)| number));
        after = last;
    }
}

pub(super) async fn events_are_selected<S: Store>(store: Arc<S>) {
    let (mut own, mut other) = (plain(1), plain(2));
    (own.owner, other.owner) = (Some("tenant-7".into()), Some("Tenant-7".into()));
    insert(&*store, [&own, &other, &plain(3)]).await;
    let mut rotated = Event::new(EventKind::Rotated, id(1), at(30));
    rotated.successor = Some(id(3));
    // Their times are not in the order of writing.
    let events = [
        Event::new(EventKind::Suspended, id(1), at(50)),
        Event::new(EventKind::Suspended, id(2), at(20)),
        rotated,
        Event::new(EventKind::Revoked, id(3), at(40)),
        // A key whose row is gone.
        Event::new(EventKind::Deleted, id(9), at(60)),
        Event::of_many(EventKind::Changed, at(70)),
    ];
    let first = store.last_event().await.unwrap();
    store.commit(&batch(&events)).await.unwrap();
    let all: Vec<u64> = store
        .events(None, first, 99)
        .await
        .unwrap()
        .events
        .iter()
        .map(|(number, _)| *number)
        .collect();

    let after_inserts = EventFilter::new().since(at(20));
    let cases = [
        (
            "any event since an instant",
            after_inserts.clone(),
            vec![0, 1, 2, 3, 4, 5],
        ),
        (
            "until an instant",
            after_inserts.clone().until(at(40)),
            vec![1, 2],
        ),
        (
            "of a kind",
            EventFilter::new().kind(EventKind::Suspended),
            vec![0, 1],
        ),
        (
            "of an owner",
            after_inserts.clone().owner("tenant-7"),
            vec![0, 2],
        ),
        (
            "of an owner in another case",
            after_inserts.clone().owner("TENANT-7"),
            vec![],
        ),
        (
            "of a key that was rotated to",
            after_inserts.clone().key(id(3)),
            vec![2, 3],
        ),
        (
            "of a key that is gone",
            EventFilter::new().key(id(9)),
            vec![4],
        ),
        (
            "of a kind and an owner",
            after_inserts
                .clone()
                .owner("tenant-7")
                .kind(EventKind::Rotated),
            vec![2],
        ),
        ("of no time", EventFilter::new().since(at(71)), vec![]),
        (
            "of a text with a wildcard",
            EventFilter::new().owner("tenant%"),
            vec![],
        ),
    ];
    for (what, filter, expected) in cases {
        let expected: Vec<u64> = expected
            .into_iter()
            .map(|index: usize| all[index])
            .collect();
        for size in [1, 2, 99] {
            let found = selected(&*store, &filter, size).await;
            assert_eq!(found, expected, "events {what}, in pages of {size}");
        }
    }
    let none = store
        .list_events(&EventFilter::new(), u64::MAX, 9)
        .await
        .unwrap();
    assert_eq!(none.rows(), 0, "no event follows the last one");
    let none = store.list_events(&after_inserts, 0, 0).await.unwrap();
    assert_eq!(none.rows(), 0, "a page of events has a limit");
}

pub(super) async fn old_events_are_removed<S: Store>(store: Arc<S>) {
    let times = [10, 20, 90, 30, 80, 40];
    let events: Vec<_> = (1..)
        .zip(times)
        .map(|(number, time)| Event::new(EventKind::Issued, id(number), at(time)))
        .collect();
    store.commit(&batch(&events)).await.unwrap();
    let numbers: Vec<u64> = selected(&*store, &EventFilter::new(), 99).await;
    let by = By::new("ana").unwrap().from_origin("host-3").unwrap();
    let prune = async |before, limit| store.prune_events(at(before), limit, &by).await.unwrap();
    let marks = async || {
        let all = store.events(None, 0, 99).await.unwrap().events;
        let marks = all
            .into_iter()
            .filter(|(_, event)| event.kind == EventKind::Pruned);
        marks.collect::<Vec<_>>()
    };
    let count = async |before| count_events_before(&*store, at(before)).await.unwrap();
    assert_eq!(
        [count(10).await, count(50).await],
        [0, 4],
        "how many events would be removed"
    );
    assert_eq!(prune(10, 99).await, 0, "an event at the instant stays");
    assert!(
        marks().await.is_empty(),
        "without events to remove there is no mark"
    );
    assert_eq!(
        prune(50, 0).await,
        0,
        "a limit on the events that are removed"
    );
    assert_eq!(
        prune(50, 2).await,
        2,
        "a limit on the events that are removed"
    );

    let mark = marks().await;
    let expected = Event::of_many(EventKind::Pruned, at(20)).by(&by);
    assert_eq!(
        mark,
        [(numbers[1], expected)],
        "the last removed event says that events were removed, and by whom"
    );
    assert_eq!(count(50).await, 2, "a mark is not counted");
    assert_eq!(prune(50, 99).await, 2, "a mark is not counted");
    let mark = marks().await;
    assert_eq!(mark.len(), 1, "one mark stays");
    assert_eq!(
        mark[0].0, numbers[5],
        "with the number of the last removed event"
    );
    assert!(mark[0].1.key_id.is_none(), "a mark is about no key");
    assert_eq!(
        selected(&*store, &EventFilter::new(), 99).await,
        [numbers[2], numbers[4], numbers[5]],
        "the events that are not older stay"
    );
    assert_eq!(prune(50, 99).await, 0, "nothing more is left to remove");
    let last = store.last_event().await.unwrap();
    assert_eq!(last, numbers[5], "the last event keeps its number");

    // A mark does not count as an event: what depends on the last one can be written.
    let mut next = batch(&[event(7)]);
    next.last_event = Some(last);
    store.commit(&next).await.unwrap();
    let rest = store.events(None, last, 9).await.unwrap().events;
    assert_eq!(rest.len(), 1, "numbers continue after the removed ones");
    assert!(rest[0].0 > last, "numbers continue after the removed ones");
}

pub(super) async fn a_revocation_outlasts_its_events<S: Store>(store: Arc<S>) {
    let record = plain(1);
    insert(&*store, [&record]).await;
    store
        .commit(&updates([&revoked(&record, "leaked")]))
        .await
        .unwrap();
    store
        .prune_events(at(1_000), 99, &By::default())
        .await
        .unwrap();
    let found = find(&*store, &id(1)).await;
    assert_same(
        found.as_ref(),
        &revoked(&record, "leaked"),
        "after its events were removed",
    );
    let again = store.commit(&updates([&next(&record)])).await;
    assert!(
        again.is_err(),
        "a revoked key stays revoked after its events were removed"
    );
}

/// The mark of the removal before does not count.
pub(super) async fn old_events_are_removed_one_by_one<S: Store>(store: Arc<S>) {
    insert(&*store, [&plain(1), &plain(2), &plain(3)]).await;
    let by = By::default();
    let mut removed = Vec::new();
    for _ in 0..4 {
        removed.push(store.prune_events(at(1_000), 1, &by).await.unwrap());
    }
    assert_eq!(removed, [1, 1, 1, 0]);
    let left = store.events(None, 0, 9).await.unwrap().events;
    assert_eq!(left.len(), 1, "{left:?}");
}
