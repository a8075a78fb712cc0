//! Moving keys to another store, which grants nothing and forgets no revocation.

use std::sync::Arc;

use keystile::{
    By, DerivedFrom, EventKind, KeyRecord, LifetimePolicy, Millis, PermissionSet, RateState,
    Status, Usage,
};

use super::fixture::{at, digest, event, find, full, id, insert, inserts, noted, plain, updates};
use crate::batch::Batch;
use crate::filter::Filter;
use crate::list::Page;
use crate::memory::MemoryStore;
use crate::portable::{Importer, LineReport, LineResult, PortableKey, PortableLine, RemovedKey};
use crate::store::{SpendRequest, Store};

/// The lines of a store.
pub(super) async fn exported(store: &impl Store) -> Vec<String> {
    let mut lines = Vec::new();
    let mut page = Some(Page::first(2));
    while let Some(current) = page {
        let exported = store.export(&Filter::default(), current).await;
        let exported = exported.expect("an export does not fail");
        assert!(exported.damaged.is_empty() && exported.keys.len() <= 2);
        let keys = exported.keys.into_iter();
        lines.extend(keys.map(|key| PortableLine::Key(Box::new(key)).to_text()));
        page = exported.next.map(|next| current.after(next));
    }
    let (mut after, mut is_last) = (None::<Box<str>>, false);
    while !is_last {
        let removed = store.removed_keys(after.as_deref(), 1).await;
        let removed = removed.expect("removed keys are listed");
        let keys = removed.keys.into_iter();
        lines.extend(keys.map(|key| PortableLine::Removed(key).to_text()));
        after = removed.next;
        is_last = after.is_none();
    }
    lines
}

pub(super) fn numbered(lines: &[String]) -> Vec<(u64, &[u8])> {
    (1..).zip(lines.iter().map(String::as_bytes)).collect()
}

pub(super) async fn imported(store: &impl Store, lines: &[String]) -> Vec<LineReport> {
    let mut importer = Importer::new(store, LifetimePolicy::default());
    import_all(&mut importer, &numbered(lines), lines.len()).await
}

/// What becomes of the lines at last, in parts of so many.
pub(super) async fn import_all<S: Store>(
    importer: &mut Importer<'_, S>,
    lines: &[(u64, &[u8])],
    part: usize,
) -> Vec<LineReport> {
    let mut reports = Vec::new();
    for part in lines.chunks(part.max(1)) {
        let some = importer.import(part, at(100)).await;
        reports.extend(some.expect("an import does not fail"));
    }
    let late = importer.finish(at(100)).await.expect("nor its end");
    let waits = |report: &&LineReport| matches!(report.result, LineResult::Waiting(_));
    assert_eq!(
        late.len(),
        reports.iter().filter(waits).count(),
        "each line that waits"
    );
    reports.retain(|report| !waits(&report));
    reports.extend(late);
    reports.sort_by_key(|report| report.line);
    reports
}

pub(super) fn results(report: &[LineReport]) -> Vec<&'static str> {
    report.iter().map(|line| line.result.as_str()).collect()
}

pub(super) fn line(record: &KeyRecord) -> String {
    PortableLine::Key(Box::new(PortableKey::new(record.clone()))).to_text()
}

/// Keys of each kind: with every field, used, with a former digest, revoked, removed.
async fn sample() -> MemoryStore {
    let store = MemoryStore::new();
    let mut used = plain(20);
    used.remaining_uses = Some(9);
    let ended = plain(30);
    let expired = {
        let mut expired = plain(40);
        expired.expires_at = Some(at(41));
        expired
    };
    insert(&store, [&full(1), &used, &ended, &expired, &plain(50)]).await;
    // As far from zero as a signed column can hold, and beyond.
    let usage = Usage::new(RateState::from_bits(u64::MAX - 5), Some(7));
    let request = SpendRequest::new(
        &used,
        store.usage(&used.lineage).await.unwrap().usage,
        usage,
    );
    assert!(store.spend(&request).await.unwrap());
    let mut renewed = super::fixture::next(&plain(50));
    renewed.digest = digest(51);
    store.commit(&updates([&renewed])).await.unwrap();
    let mut revoked = super::fixture::revoked(&ended, "it \"leaked\"");
    revoked.digest = digest(31);
    store.commit(&updates([&revoked])).await.unwrap();
    for removed in [(revoked.id, 3), (expired.id, 2)] {
        let batch = noted(Batch {
            deletes: vec![removed],
            ..Batch::new()
        });
        store.commit(&batch).await.unwrap();
    }
    store
}

pub(super) async fn an_export_is_imported_byte_for_byte<S: Store>(store: Arc<S>) {
    let lines = exported(&sample().await).await;
    assert_eq!(lines.len(), 5, "three keys and two removed ones");
    let ana = By::new("ana").unwrap();
    let report = imported(&store.acting_as(&ana), &lines).await;
    assert_eq!(results(&report), ["imported"; 5], "each line is new");
    let again = exported(&*store).await;
    assert_eq!(again, lines, "the export of what was imported");

    let events = store.events(None, 0, 100).await.unwrap().events;
    assert_eq!(events.len(), 5, "an event of each line");
    for (_, event) in events {
        assert_eq!(event.kind, EventKind::Imported, "the event of an import");
        assert_eq!(event.actor.as_deref(), Some("ana"), "who imported");
    }

    let report = imported(&*store, &lines).await;
    assert_eq!(
        results(&report),
        ["present"; 5],
        "a second import changes nothing"
    );
    assert_eq!(exported(&*store).await, lines);
    assert_eq!(store.last_event().await.unwrap(), 5);
}

pub(super) async fn an_import_overwrites_nothing<S: Store>(store: Arc<S>) {
    let revoked = super::fixture::revoked(&plain(1), "leaked");
    insert(&*store, [&plain(1), &plain(2), &plain(3)]).await;
    store.commit(&updates([&revoked])).await.unwrap();
    let mut renewed = super::fixture::next(&plain(3));
    renewed.digest = digest(33);
    store.commit(&updates([&renewed])).await.unwrap();
    let before = exported(&*store).await;

    let mut richer = plain(2);
    richer.permissions = PermissionSet::new(["*"]).unwrap();
    let mut same_digest = plain(4);
    same_digest.digest = digest(2);
    let mut former_digest = plain(5);
    former_digest.digest = digest(3);
    let mut revoked_digest = plain(6);
    revoked_digest.digest = digest(1);
    let lines = [
        plain(1),
        richer,
        same_digest,
        former_digest,
        revoked_digest,
        plain(3),
    ];
    let lines = lines.map(|record| line(&record));
    let report = imported(&*store, &lines).await;
    assert_eq!(
        results(&report),
        ["conflict"; 6],
        "nothing of this is written: {report:?}"
    );
    assert_eq!(exported(&*store).await, before, "all stays as it was");
}

/// A key that was revoked and removed in another store, and comes back from a copy.
pub(super) async fn what_was_revoked_elsewhere_stays_refused<S: Store>(store: Arc<S>) {
    let mut removed = RemovedKey::new(id(1), 4);
    removed.revoked = Some((at(9), "leaked".into()));
    removed.digests = vec![*digest(1).bytes(), *digest(11).bytes()];
    removed.digests.sort_unstable();
    let lines = [PortableLine::Removed(removed).to_text()];
    assert_eq!(results(&imported(&*store, &lines).await), ["imported"]);
    let mut other = plain(2);
    other.digest = digest(11);
    let copies = [line(&plain(1)), line(&other)];
    let report = imported(&*store, &copies).await;
    assert_eq!(
        results(&report),
        ["conflict"; 2],
        "a removed key is not imported: {report:?}"
    );
    // Nor by other means.
    for copy in [plain(1), other] {
        match store.commit(&inserts([&copy])).await {
            Err(crate::StoreError::Duplicate) => {}
            Ok(()) => {
                let stored = find(&*store, &copy.id).await.unwrap();
                let is_revoked = matches!(stored.status, Status::Revoked { .. });
                assert!(is_revoked, "it is stored as revoked");
            }
            Err(error) => panic!("inserting what was revoked elsewhere: {error}"),
        }
    }
}

pub(super) async fn a_removed_key_is_not_imported_over_a_stored_one<S: Store>(store: Arc<S>) {
    insert(&*store, [&plain(1)]).await;
    let mut removed = RemovedKey::new(id(1), 4);
    removed.revoked = Some((at(9), "leaked".into()));
    let line = PortableLine::Removed(removed.clone()).to_text();
    assert_eq!(results(&imported(&*store, &[line]).await), ["conflict"]);
    // Nor if the key was inserted after the import looked.
    let mut batch = Batch::new();
    batch.imported.removed.push(removed);
    batch.events.push(event(1).with_version(4));
    let written = store.commit(&batch).await;
    assert!(
        matches!(written, Err(crate::StoreError::Stale)),
        "{written:?}"
    );
    // The row of a key that was removed here is remembered, and not imported again.
    let batch = noted(Batch {
        deletes: vec![(id(1), 2)],
        ..Batch::new()
    });
    store.commit(&batch).await.unwrap();
    let report = imported(&*store, &[self::line(&plain(1))]).await;
    assert_eq!(
        results(&report),
        ["conflict"],
        "a removed key is not imported"
    );
}

pub(super) async fn a_derived_key_needs_its_source<S: Store>(store: Arc<S>) {
    let mut source = plain(1);
    source.permissions = PermissionSet::new(["read"]).unwrap();
    let mut own = plain(2);
    own.permissions = PermissionSet::new(["read"]).unwrap();
    own.derived_from = Some(DerivedFrom::new(id(1), id(1)));
    let mut more = plain(3);
    more.permissions = PermissionSet::new(["read", "write"]).unwrap();
    more.derived_from = own.derived_from;
    let [own, more, source] = [own, more, source].map(|record| line(&record));

    let report = imported(&*store, core::slice::from_ref(&own)).await;
    assert_eq!(results(&report), ["refused"], "without its source");
    let report = imported(&*store, &[source.clone(), own.clone(), more.clone()]).await;
    let expected = ["imported", "imported", "refused"];
    assert_eq!(
        results(&report),
        expected,
        "with its source in the same batch: {report:?}"
    );
    let report = imported(&*store, &[more]).await;
    assert_eq!(results(&report), ["refused"], "more than its source");
    // And with a source that is stored.
    let mut later = plain(4);
    later.derived_from = Some(DerivedFrom::new(id(1), id(1)));
    assert_eq!(
        results(&imported(&*store, &[line(&later)]).await),
        ["imported"]
    );
    // What is revoked grants nothing, and comes along.
    let mut ended = super::fixture::revoked(&plain(5), "leaked");
    ended.derived_from = Some(DerivedFrom::new(id(8), id(8)));
    assert_eq!(
        results(&imported(&*store, &[line(&ended)]).await),
        ["imported"]
    );
}

pub(super) async fn a_lineage_gets_no_more_uses<S: Store>(store: Arc<S>) {
    let counted = |number: u64, uses: Option<u64>| {
        let mut record = plain(number);
        record.lineage = id(1);
        record.remaining_uses = uses;
        record
    };
    insert(&*store, [&counted(1, Some(5))]).await;
    let mut ended = counted(2, Some(3));
    ended.expires_at = Some(at(3));
    let report = imported(&*store, &[line(&ended)]).await;
    assert_eq!(
        results(&report),
        ["conflict"],
        "the store has more uses: {report:?}"
    );
    let report = imported(&*store, &[line(&counted(2, Some(5)))]).await;
    assert_eq!(results(&report), ["imported"]);
    let report = imported(&*store, &[line(&counted(3, Some(9)))]).await;
    assert_eq!(
        results(&report),
        ["conflict"],
        "a third live key of a lineage: {report:?}"
    );
    assert_eq!(find(&*store, &id(2)).await.unwrap().remaining_uses, Some(5));
}

pub(super) async fn an_import_is_within_the_longest_lifetime<S: Store>(store: Arc<S>) {
    let hour = Millis::from_hours(1);
    let policy = LifetimePolicy::new(hour, Some(hour)).unwrap();
    let ending = |number: u64, end: u64| {
        let mut record = plain(number);
        record.expires_at = Some(at(end));
        record
    };
    let endless = plain(1);
    let within = ending(2, hour.get());
    let longer = ending(3, 3 + hour.get() + 1);
    // It says an hour, and ends later.
    let mut late = ending(4, 2 * hour.get());
    late.lifetime = Some(hour);
    let ended = super::fixture::revoked(&plain(5), "leaked");
    // As long as may be, and no longer.
    let mut longest = ending(6, hour.get());
    longest.lifetime = Some(hour);
    let lines = [endless, within, longer, late, ended, longest].map(|record| line(&record));
    let mut importer = Importer::new(&*store, policy);
    let report = importer.import(&numbered(&lines), at(100)).await.unwrap();
    let expected = [
        "refused", "imported", "refused", "refused", "imported", "imported",
    ];
    assert_eq!(
        results(&report),
        expected,
        "the longest lifetime holds: {report:?}"
    );
    let problem = report[0].result.problem().map(|problem| problem.field);
    assert_eq!(problem, Some("expires_at"));
}

pub(super) async fn a_dry_run_reports_the_same<S: Store>(store: Arc<S>) {
    insert(&*store, [&plain(9)]).await;
    let mut lines = exported(&sample().await).await;
    let mut own = plain(60);
    own.derived_from = Some(DerivedFrom::new(id(20), id(20)));
    own.remaining_uses = Some(1);
    let mut more = own.clone();
    (more.id, more.lineage, more.digest) = (id(61), id(61), digest(61));
    more.permissions = PermissionSet::new(["read"]).unwrap();
    let mut again = plain(62);
    again.digest = digest(20);
    lines.extend([own, more, again, plain(9)].map(|record| line(&record)));
    lines.push(lines[0].clone());
    lines.push("{}".to_owned());

    // In parts, as a file is imported.
    let mut dry = Importer::new(&*store, LifetimePolicy::default()).dry_run();
    let mut real = Importer::new(&*store, LifetimePolicy::default());
    let numbered = numbered(&lines);
    let planned = import_all(&mut dry, &numbered, 3).await;
    assert_eq!(
        store.last_event().await.unwrap(),
        1,
        "a dry run writes nothing"
    );
    let done = import_all(&mut real, &numbered, 3).await;
    assert_eq!(planned, done, "a dry run reports what an import does");
    let count = |name| {
        done.iter()
            .filter(|line| line.result.as_str() == name)
            .count()
    };
    assert_eq!((count("imported"), count("refused")), (6, 2), "{done:?}");
    assert_eq!((count("present"), count("conflict")), (2, 1), "{done:?}");
    assert!(matches!(
        done.last().unwrap().result,
        LineResult::Refused(_)
    ));
}
