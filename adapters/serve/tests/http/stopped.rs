//! A template that is changed while it is applied.

use std::sync::Arc;
use std::sync::Mutex;

use keystile::{
    KeyId, KeyRecord, LifetimePolicy, Lookup, PermissionSet, RateState, ScopeTemplate,
    TemplateName, UnixMillis,
};
use keystile_store::{
    Batch, Filter, Listed, ListedEvents, MemoryStore, Page, RateNote, SpendRequest, Store,
    StoreError, StoredTemplate, StoredUsage, change_template, find_template, remove_template,
};
use serde_json::{Value, json};

use crate::keys;
use crate::service::Running;

/// What others do to the template just before a batch that relies on it is written.
#[derive(Clone, Copy)]
enum Meanwhile {
    Changed,
    Removed,
}

/// A store that others write to at certain moments.
struct Beside {
    store: Arc<MemoryStore>,
    /// Before how many further batches this happens; nothing if it has happened.
    meanwhile: Mutex<Option<(u32, Meanwhile)>>,
}

impl Beside {
    /// Whether it happens now.
    fn due(&self) -> Option<Meanwhile> {
        let mut meanwhile = self.meanwhile.lock().unwrap();
        match *meanwhile {
            Some((0, what)) => {
                *meanwhile = None;
                Some(what)
            }
            Some((left, what)) => {
                *meanwhile = Some((left - 1, what));
                None
            }
            None => None,
        }
    }
}

impl Store for Beside {
    async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(relied_on) = &batch.template_unchanged
            && let Some(what) = self.due()
        {
            let read = find_template(&*self.store, &relied_on.name).await?;
            match what {
                Meanwhile::Removed => remove_template(&*self.store, read.name(), None).await?,
                Meanwhile::Changed => {
                    let less = rights(&[]);
                    change_template(&*self.store, &read, less, None, keys::now()).await?;
                }
            }
        }
        self.store.commit(batch).await
    }

    async fn find(&self, lookup: &Lookup) -> Result<Option<KeyRecord>, StoreError> {
        self.store.find(lookup).await
    }

    async fn lineage(&self, lineage: &KeyId) -> Result<Listed, StoreError> {
        self.store.lineage(lineage).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        self.store.list(filter, page).await
    }

    async fn usage(&self, lineage: &KeyId) -> Result<StoredUsage, StoreError> {
        self.store.usage(lineage).await
    }

    async fn replace_rate(
        &self,
        lineage: &KeyId,
        before: RateState,
        after: RateState,
    ) -> Result<bool, StoreError> {
        self.store.replace_rate(lineage, before, after).await
    }

    async fn spend(&self, request: &SpendRequest) -> Result<bool, StoreError> {
        self.store.spend(request).await
    }

    async fn note_rates(&self, rates: &[RateNote], now: UnixMillis) -> Result<(), StoreError> {
        self.store.note_rates(rates, now).await
    }

    async fn note_uses(&self, uses: &[(KeyId, UnixMillis)]) -> Result<(), StoreError> {
        self.store.note_uses(uses).await
    }

    async fn events(
        &self,
        key_id: Option<&KeyId>,
        after: u64,
        limit: usize,
    ) -> Result<ListedEvents, StoreError> {
        self.store.events(key_id, after, limit).await
    }

    async fn template(&self, name: &TemplateName) -> Result<Option<StoredTemplate>, StoreError> {
        self.store.template(name).await
    }

    async fn save_template(&self, template: &StoredTemplate) -> Result<(), StoreError> {
        self.store.save_template(template).await
    }
}

fn rights(permissions: &[&str]) -> ScopeTemplate {
    let name = TemplateName::new("pro").unwrap();
    ScopeTemplate::new(name, PermissionSet::new(permissions).unwrap())
}

/// What was taken back while it was given is not given, and the caller learns how far it came.
#[tokio::test]
async fn an_apply_stops_when_its_template_is_changed() {
    let apply = "POST /v1/templates/pro/apply";
    for (what, before, counted) in [
        (Meanwhile::Changed, 0, "try again"),
        (Meanwhile::Changed, 1, "after this call had changed 1 key;"),
        (Meanwhile::Changed, 2, "after this call had changed 2 keys;"),
        (Meanwhile::Removed, 1, "after this call had changed 1 key;"),
    ] {
        let store = Arc::new(MemoryStore::new());
        let beside = Arc::new(Beside {
            store: Arc::clone(&store),
            meanwhile: Mutex::new(None),
        });
        let served = Arc::clone(&beside);
        let running = Running::over(store, served, |_| {}, LifetimePolicy::default()).await;
        let root = running.admin.clone();
        let put = async |permissions: &[&str]| {
            let body = json!({ "permissions": permissions });
            running
                .call(&root, "PUT /v1/templates/pro", Some(&body))
                .await
        };
        assert_eq!(put(&["read"]).await.0, 201);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let new = json!({ "client_name": "Acme", "template": "pro" });
            let issued = running.call(&root, "POST /v1/keys", Some(&new)).await.1;
            ids.push(issued["key_id"].as_str().unwrap().to_owned());
        }
        // A key of the very millisecond of a change could be of either template, and is left out.
        tokio::time::sleep(core::time::Duration::from_millis(5)).await;
        assert_eq!(put(&["read", "write"]).await.0, 200);
        *beside.meanwhile.lock().unwrap() = Some((before, what));

        let (status, problem) = running.call(&root, apply, None).await;
        assert_eq!(
            (status, &problem["code"]),
            (409, &json!("stale")),
            "{problem}"
        );
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(counted), "{message}");
        for (number, id) in ids.iter().enumerate() {
            let shown = running
                .call(&root, &format!("GET /v1/keys/{id}"), None)
                .await
                .1;
            let is_changed = shown["permissions"] == json!(["read", "write"]);
            assert_eq!(is_changed, number < before as usize, "{shown}");
        }
        // What was taken back is taken back from those that had got it, too.
        if let Meanwhile::Changed = what {
            let (status, again) = running.call(&root, apply, None).await;
            assert_eq!((status, &again["failed"]), (200, &json!([])), "{again}");
            assert_eq!(
                again["key_ids"].as_array().map(Vec::len),
                Some(3),
                "{again}"
            );
            for id in &ids {
                let shown: Value = running
                    .call(&root, &format!("GET /v1/keys/{id}"), None)
                    .await
                    .1;
                assert_eq!(shown["permissions"], json!([]));
            }
        }
        running.stop().await;
    }
}
