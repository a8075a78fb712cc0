//! Imports that are played on a store: what becomes of each line, and what the store then exports.

use keystile::{LifetimePolicy, Millis};
use keystile_store::{
    Filter, Importer, LineReport, LineResult, MemoryStore, Page, PortableLine, SqliteStore, Store,
};
use serde_json::{Value, json};

use crate::made::{at, removed_line};

/// A case: its name, and its imports.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// One import, in parts of so many lines.
pub(crate) struct Step {
    lines: Vec<String>,
    part: usize,
    longest_ms: Option<u64>,
    dry_run: bool,
}

pub(crate) fn step(lines: impl IntoIterator<Item = String>) -> Step {
    Step {
        lines: lines.into_iter().collect(),
        part: 500,
        longest_ms: None,
        dry_run: false,
    }
}

impl Step {
    pub(crate) fn part(self, part: usize) -> Self {
        Self { part, ..self }
    }

    pub(crate) fn longest(self, millis: u64) -> Self {
        Self {
            longest_ms: Some(millis),
            ..self
        }
    }

    /// The same, first as a dry run.
    pub(crate) fn dry_first(self) -> Vec<Self> {
        let dry = Self {
            lines: self.lines.clone(),
            dry_run: true,
            ..self
        };
        Vec::from([dry, self])
    }

    async fn played<S: Store>(&self, store: &S) -> Value {
        let policy = self.longest_ms.map(Millis::new);
        let policy = match policy {
            Some(longest) => LifetimePolicy::new(longest, Some(longest)).unwrap(),
            None => LifetimePolicy::default(),
        };
        let mut importer = Importer::new(store, policy);
        if self.dry_run {
            importer = importer.dry_run();
        }
        let lines: Vec<_> = (1..).zip(self.lines.iter().map(String::as_bytes)).collect();
        let mut reports: Vec<LineReport> = Vec::new();
        for part in lines.chunks(self.part) {
            reports.extend(importer.import(part, at(100)).await.unwrap());
        }
        reports.retain(|report| !matches!(report.result, LineResult::Waiting(_)));
        reports.extend(importer.finish(at(100)).await.unwrap());
        reports.sort_by_key(|report| report.line);
        let reports: Vec<_> = reports
            .iter()
            .map(|report| {
                let problem = report.result.problem();
                json!({ "line": report.line, "key_id": report.key_id.map(|id| id.to_string()),
                    "result": report.result.as_str(), "field": problem.map(|problem| problem.field),
                    "problem": problem.map(|problem| &*problem.expected) })
            })
            .collect();
        json!({ "lines": self.lines, "part": self.part, "longest_ms": self.longest_ms, "dry_run": self.dry_run,
            "expected": { "reports": reports, "whole": importer.is_whole() } })
    }
}

impl Case {
    /// What it does to a store in memory, and the same to SQLite.
    pub(crate) async fn played(&self) -> Value {
        let memory = self.played_on(&MemoryStore::new()).await;
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("keys.db")).unwrap();
        store.migrate().await.unwrap();
        assert_eq!(self.played_on(&store).await, memory, "{}", self.name);
        memory
    }

    async fn played_on<S: Store>(&self, store: &S) -> Value {
        let mut steps = Vec::new();
        for step in &self.steps {
            steps.push(step.played(store).await);
        }
        let exported = store
            .export(&Filter::default(), Page::first(1_000))
            .await
            .unwrap();
        let keys = exported.keys.into_iter();
        let mut export: Vec<_> = keys
            .map(|key| PortableLine::Key(Box::new(key)).to_text())
            .collect();
        let removed = store.removed_keys(None, 1_000).await.unwrap().keys;
        export.extend(removed.iter().map(removed_line));
        json!({ "name": self.name, "steps": steps, "export": export })
    }
}
