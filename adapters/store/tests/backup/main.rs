//! Backups of a SQLite store that is in use, and their restore under running processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

mod copies;
mod processes;
mod restores;

use core::time::Duration;
use std::path::{Path, PathBuf};

use keystile::{
    EventKind, IssueRequest, Issued, KeyFormat, KeyId, PepperRing, Status, SysRng, UnixMillis,
    issue,
};
use keystile_store::{
    Filter, PAGE_MAX, Page, RestoreOptions, Restored, SqliteStore, Store, record, save_issued,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

fn now() -> UnixMillis {
    UnixMillis::now().unwrap()
}

fn request() -> IssueRequest {
    IssueRequest::new("Acme Ltd").unwrap()
}

async fn issued_as(store: &SqliteStore, request: &IssueRequest) -> Issued {
    let issued = issue(&format(), &PepperRing::none(), request, &mut SysRng, now()).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

async fn issued(store: &SqliteStore) -> Issued {
    issued_as(store, &request()).await
}

async fn all(store: &SqliteStore) -> Vec<KeyId> {
    let (mut all, mut page) = (Vec::new(), Page::first(PAGE_MAX));
    loop {
        let listed = store.list(&Filter::default(), page).await.unwrap();
        all.extend(listed.records.iter().map(|record| record.id));
        let Some(next) = listed.next else {
            return all;
        };
        page = page.after(next);
    }
}

async fn events(store: &SqliteStore) -> Vec<(u64, EventKind, Option<KeyId>)> {
    let (mut all, mut last) = (Vec::new(), 0);
    loop {
        let events = store.events(None, last, PAGE_MAX).await.unwrap().events;
        let Some((number, _)) = events.last() else {
            return all;
        };
        last = *number;
        all.extend(
            events
                .iter()
                .map(|(number, event)| (*number, event.kind, event.key_id)),
        );
    }
}

/// A store in a folder of its own.
struct World {
    folder: TempDir,
    store: SqliteStore,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
        store.migrate().await.unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn backup(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        self.store.backup(&path, |_| {}).await.unwrap();
        path
    }

    async fn restore(&self, backup: &Path, options: RestoreOptions) -> Restored {
        let restored = SqliteStore::restore(self.path("keys.db"), backup, options).await;
        restored.unwrap()
    }

    async fn status(&self, id: &KeyId) -> Status {
        record(&self.store, id).await.unwrap().status
    }
}

async fn open(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    store.migrate().await.unwrap();
    store
}
