//! The short way to an authenticator, from an empty database.

use core::time::Duration;
use std::time::Instant;

use keystile::{Request, Verifier};
use keystile_store::{Authenticator, revoke};
use tokio::time::sleep;

use crate::database::Database;
use crate::keys::{at, format, issued, request};

/// Far less than the second between two polls.
const AT_ONCE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opened_authenticator_has_its_tables_and_is_notified() {
    let Some(database) = Database::new().await else {
        return;
    };
    let verifier = Verifier::new(format());
    let opened = Authenticator::open_postgres(&database.url, verifier);
    let authenticator = opened.await.expect("the tables are made");
    let elsewhere = database.open();
    let is_allowed = async |key: &str| {
        let request = Request::new();
        let answer = authenticator.check(key.as_bytes(), &request, at(1));
        answer.await.decision.is_allow()
    };
    let mut waits = Vec::new();
    for _ in 0..6 {
        let issued = issued(&request());
        authenticator.save_issued(&issued).await.unwrap();
        assert!(is_allowed(issued.key.expose()).await);
        // The round before this one ended right after a poll, so without a notification this
        // takes a second.
        let begun = Instant::now();
        let revoked = revoke(&elsewhere, &issued.record.id, "leaked", at(1));
        assert!(revoked.await.unwrap().is_changed());
        while is_allowed(issued.key.expose()).await {
            assert!(begun.elapsed() < Duration::from_secs(30), "still allowed");
            sleep(Duration::from_millis(5)).await;
        }
        waits.push(begun.elapsed());
    }
    let shortest = waits.iter().skip(1).min().unwrap();
    assert!(*shortest < AT_ONCE, "{waits:?}");
    authenticator.stop().await.unwrap();
}
