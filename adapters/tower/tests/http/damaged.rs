//! A key whose stored row is damaged is denied, and no other one.

use std::sync::Arc;

use keystile_store::{Authenticator, SqliteStore, Store};

use crate::keys;
use crate::service::{self, Service};

#[tokio::test]
async fn a_damaged_record_is_a_denial_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    store.migrate().await.unwrap();
    let request = keys::request("Acme");
    let [bad, sound] = [
        keys::issued(&*store, &request, keys::now()).await,
        keys::issued(&*store, &request, keys::now()).await,
    ];
    let other = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE api_keys SET permissions = 'not json' WHERE key_id = ?1";
    assert_eq!(other.execute(sql, [bad.record.id.as_str()]).unwrap(), 1);

    let authenticator = Authenticator::builder(store, keys::verifier()).build();
    let authenticator = authenticator.unwrap();
    let running = Service {
        address: service::serve(service::app(service::layer(&authenticator).build())).await,
        authenticator,
        keys: std::collections::HashMap::new(),
    };
    for _ in 0..3 {
        let answer = running.profile(bad.key.expose()).await;
        assert_eq!(answer.status, 500);
        assert!(
            answer.body.contains(r#""code":"record_damaged""#),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains("permissions"), "{}", answer.body);
        assert!(!answer.head.contains("retry-after"), "to wait is of no use");
        assert_eq!(running.profile(sound.key.expose()).await.status, 200);
    }
    let last = running.authenticator.store().last_event().await.unwrap();
    assert_eq!(last, 3, "two were issued, and other code changed one");
}
