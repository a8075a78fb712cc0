//! Moving keys that belong together, and what stores remember of them.

use std::sync::Arc;

use keystile::{DerivedFrom, KeyRecord, LifetimePolicy};

use super::fixture::{at, digest, find, id, insert, plain, revoked};
use super::portable::{exported, import_all, imported, line, numbered, results};
use crate::memory::MemoryStore;
use crate::portable::{Importer, LineReport, PortableKey, PortableLine, RemovedKey};
use crate::store::Store;

fn derived(number: u64, source: u64, uses: Option<u64>) -> KeyRecord {
    let mut record = plain(number);
    record.derived_from = Some(DerivedFrom::new(id(source), id(source)));
    record.remaining_uses = uses;
    record
}

fn replaced(mut record: KeyRecord, successor: u64, overlap: u64) -> [KeyRecord; 2] {
    let mut next = plain(successor);
    next.lineage = record.lineage;
    next.derived_from = record.derived_from;
    record.replaced_by = Some(next.id);
    record.overlap_until = Some(at(overlap));
    [record, next]
}

fn problem(report: &LineReport) -> &'static str {
    report.result.problem().map_or("", |problem| problem.field)
}

/// In the order of their insertion a source's successor follows the keys that derive from it.
pub(super) async fn derived_keys_of_a_rotated_source_are_imported<S: Store>(store: Arc<S>) {
    // The overlap is over when they are imported, and it is not.
    for (first, overlap) in [(0, 50), (10, 5_000)] {
        let [source, source_next] = replaced(plain(first + 1), first + 4, overlap);
        let [own, own_next] = replaced(derived(first + 2, first + 1, None), first + 5, 50);
        let below = derived(first + 3, first + 2, None);
        let old = MemoryStore::new();
        insert(&old, [&source, &own, &below, &source_next, &own_next]).await;
        let mut lines = exported(&old).await;

        let numbered = numbered(&lines);
        let mut dry = Importer::new(&*store, LifetimePolicy::default()).dry_run();
        let planned = import_all(&mut dry, &numbered, 2).await;
        let mut real = Importer::new(&*store, LifetimePolicy::default());
        let done = import_all(&mut real, &numbered, 2).await;
        assert_eq!(planned, done, "a dry run reports what an import does");
        assert_eq!(results(&done), ["imported"; 5], "{done:?}");

        let mut moved = exported(&*store).await;
        moved.drain(..usize::from(first > 0) * 5);
        moved.sort();
        lines.sort();
        assert_eq!(moved, lines, "byte for byte, in another order");
    }
    // Without the successor they are live and have no source.
    let [source, _] = replaced(plain(31), 34, 50);
    let lines = [source, derived(32, 31, None)].map(|record| line(&record));
    let report = imported(&*store, &lines).await;
    assert_eq!(results(&report), ["imported", "refused"], "{report:?}");
}

/// What a derived key was given was taken off the uses of its source.
pub(super) async fn uses_are_not_given_twice<S: Store>(store: Arc<S>) {
    let counted = |number: u64, uses: u64| {
        let mut record = plain(number);
        record.remaining_uses = Some(uses);
        record
    };
    let mut suspended = derived(3, 1, Some(30));
    suspended.status = keystile::Status::Suspended;
    insert(&*store, [&counted(1, 100)]).await;
    let lines = [counted(1, 40), derived(2, 1, Some(60)), suspended].map(|record| line(&record));
    let report = imported(&*store, &lines).await;
    assert_eq!(
        results(&report),
        ["present", "conflict", "conflict"],
        "{report:?}"
    );
    assert_eq!(problem(&report[1]), "remaining_uses");
    // Together with the source, also if it stopped in between.
    let lines = [counted(11, 40), derived(12, 11, Some(60))].map(|record| line(&record));
    assert_eq!(results(&imported(&*store, &lines[..1]).await), ["imported"]);
    assert_eq!(
        results(&imported(&*store, &lines[1..]).await),
        ["conflict"],
        "alone"
    );
    assert_eq!(
        results(&imported(&*store, &lines).await),
        ["present", "imported"]
    );
    let lines = [derived(22, 21, Some(60)), counted(21, 40)].map(|record| line(&record));
    assert_eq!(
        results(&imported(&*store, &lines).await),
        ["imported"; 2],
        "in any order"
    );
}

pub(super) async fn a_line_that_has_a_revocation_is_not_present<S: Store>(store: Arc<S>) {
    let removed = RemovedKey::new(id(1), 4);
    let mut ended = removed.clone();
    ended.revoked = Some((at(9), "leaked".into()));
    ended.digests = vec![*digest(1).bytes()];
    let [removed, ended] = [removed, ended].map(|key| PortableLine::Removed(key).to_text());
    let report = imported(&*store, core::slice::from_ref(&removed)).await;
    assert_eq!(results(&report), ["imported"]);
    let report = imported(&*store, &[ended, removed]).await;
    assert_eq!(results(&report), ["conflict", "present"], "{report:?}");
    assert_eq!(problem(&report[0]), "revoked_at");

    insert(&*store, [&plain(2), &plain(3)]).await;
    let mut former = PortableKey::new(plain(2));
    former.former_digests = vec![*digest(22).bytes()];
    let lines = [
        PortableLine::Key(Box::new(former)).to_text(),
        line(&revoked(&plain(3), "leaked")),
    ];
    let report = imported(&*store, &lines).await;
    assert_eq!(results(&report), ["conflict"; 2], "{report:?}");
    assert_eq!(
        [problem(&report[0]), problem(&report[1])],
        ["former_digests", "status"]
    );
}

/// A revoked digest that a program inserted again is in a row, which is revoked, and remembered.
pub(super) async fn a_digest_of_two_revoked_keys_is_imported<S: Store>(store: Arc<S>) {
    let mut removed = RemovedKey::new(id(1), 4);
    removed.revoked = Some((at(9), "leaked".into()));
    removed.digests = vec![*digest(2).bytes(), *digest(11).bytes()];
    removed.digests.sort_unstable();
    let text = PortableLine::Removed(removed.clone()).to_text();
    let lines = [line(&revoked(&plain(2), "again")), text];
    let report = imported(&*store, &lines).await;
    assert_eq!(results(&report), ["imported"; 2], "{report:?}");
    let mut copy = plain(3);
    copy.digest = digest(11);
    let report = imported(&*store, &[line(&copy)]).await;
    assert_eq!(results(&report), ["conflict"], "it is remembered");
    assert_eq!(results(&imported(&*store, &lines).await), ["present"; 2]);
    // Not if the other key is live.
    insert(&*store, [&plain(5)]).await;
    removed.key_id = id(4);
    removed.digests = vec![*digest(5).bytes()];
    let report = imported(&*store, &[PortableLine::Removed(removed).to_text()]).await;
    assert_eq!(results(&report), ["conflict"], "{report:?}");
}

pub(super) async fn an_imported_key_can_be_revoked<S: Store>(store: Arc<S>) {
    let mut last = plain(1);
    last.version = 1 << 62;
    let mut over = plain(2);
    over.version = last.version + 1;
    let report = imported(&*store, &[line(&last), line(&over)]).await;
    assert_eq!(results(&report), ["imported", "refused"], "{report:?}");
    let ended = crate::verbs::revoke(&*store, &id(1), "leaked", at(200)).await;
    assert!(
        ended.is_ok(),
        "revoking a key of the highest version: {ended:?}"
    );
    assert_eq!(
        find(&*store, &id(1)).await.unwrap().status.as_str(),
        "revoked"
    );
}

/// Two exports of one store, one after the other: the uses of a key that was derived in between were
/// taken off there, and not off the line that was imported first.
pub(super) async fn joined_exports_give_no_uses_twice<S: Store>(store: Arc<S>) {
    for (first, part) in [(0, 9), (10, 1)] {
        let mut before = plain(first + 1);
        before.remaining_uses = Some(5);
        let mut after = before.clone();
        after.remaining_uses = Some(3);
        let lines = [before, derived(first + 2, first + 1, Some(2)), after];
        let mut lines = Vec::from(lines.map(|record| line(&record)));
        lines.push(line(&derived(first + 3, first + 1, Some(2))));
        let mut importer = Importer::new(&*store, LifetimePolicy::default());
        let report = import_all(&mut importer, &numbered(&lines), part).await;
        let expected = ["imported", "imported", "present", "conflict"];
        assert_eq!(results(&report), expected, "{report:?}");
        assert_eq!(problem(&report[3]), "remaining_uses");
    }
}

/// If another key has or had the digest, the batch was judged by what is not so any more.
pub(super) async fn a_former_digest_is_of_one_key<S: Store>(store: Arc<S>) {
    insert(&*store, [&plain(1), &plain(2)]).await;
    let mut renewed = super::fixture::next(&plain(2));
    renewed.digest = digest(22);
    store
        .commit(&super::fixture::updates([&renewed]))
        .await
        .unwrap();
    for (taken, is_written) in [(1, false), (2, false), (33, true)] {
        let mut batch = super::fixture::inserts([&plain(3)]);
        let former = (*digest(taken).bytes(), id(3));
        batch.imported.former_digests.push(former);
        let written = store.commit(&batch).await;
        match is_written {
            true => written.expect("a digest that no other key had"),
            false => assert!(
                matches!(written, Err(crate::StoreError::Stale)),
                "{taken}: {written:?}"
            ),
        }
    }
}

/// Also if the key was inserted after the import looked.
pub(super) async fn a_digest_of_a_live_key_is_not_remembered_as_revoked<S: Store>(store: Arc<S>) {
    insert(&*store, [&plain(1)]).await;
    let written = store.commit(&removal(2, 1)).await;
    assert!(
        matches!(written, Err(crate::StoreError::Stale)),
        "{written:?}"
    );
    assert_eq!(
        store.last_event().await.unwrap(),
        1,
        "nothing of it is written"
    );
}

/// Also if the key had it before its present one; a revoked key may have had it.
pub(super) async fn a_digest_that_a_live_key_had_is_not_remembered_as_revoked<S: Store>(
    store: Arc<S>,
) {
    insert(&*store, [&plain(1)]).await;
    let mut renewed = super::fixture::next(&plain(1));
    renewed.digest = digest(11);
    let renewal = super::fixture::updates([&renewed]);
    store.commit(&renewal).await.unwrap();
    let written = store.commit(&removal(2, 1)).await;
    assert!(
        matches!(written, Err(crate::StoreError::Stale)),
        "{written:?}"
    );
    // Of the same batch.
    let mut both = super::fixture::inserts([&plain(3)]);
    let removed = removal(4, 33);
    both.imported = removed.imported.clone();
    both.events.extend(removed.events.clone());
    let former = (*digest(33).bytes(), id(3));
    both.imported.former_digests.push(former);
    let written = store.commit(&both).await;
    assert!(
        matches!(written, Err(crate::StoreError::Stale)),
        "{written:?}"
    );
    assert_eq!(
        store.last_event().await.unwrap(),
        2,
        "nothing of them is written"
    );

    let ended = revoked(&renewed, "leaked");
    store
        .commit(&super::fixture::updates([&ended]))
        .await
        .unwrap();
    store
        .commit(&removal(2, 1))
        .await
        .expect("a digest that a revoked key had");
}

/// A key that was revoked and removed elsewhere, with a digest.
fn removal(number: u64, had: u64) -> crate::batch::Batch {
    let mut removed = RemovedKey::new(id(number), 4);
    removed.revoked = Some((at(9), "leaked".into()));
    removed.digests = vec![*digest(had).bytes()];
    let mut batch = crate::batch::Batch::new();
    batch.imported.removed.push(removed);
    let event = super::fixture::event(number);
    batch.events.push(event.with_version(4));
    batch
}
