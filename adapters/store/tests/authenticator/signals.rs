//! A store that reports its changes: they are read at once, and not more often than is useful.

use core::time::Duration;
use std::sync::Arc;

use keystile::DenialCode;
use keystile_store::{Authenticator, suspend};
use tokio::sync::Notify;

use crate::scripted::{Scripted, ask, at, code, issued, over};

const SECOND: Duration = Duration::from_secs(1);

/// Its own interval is an hour, so that it reads only when it is notified.
fn signalled(store: &Arc<Scripted>, signal: &Arc<Notify>) -> Authenticator<Scripted> {
    over(store)
        .poll_interval(Duration::from_secs(3_600))
        .revocation_bound(Duration::from_secs(7_200))
        .change_signal(Arc::clone(signal))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_is_woken_reads_at_once() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let wake = Arc::new(Notify::new());
    let authenticator = signalled(&store, &wake);
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    tokio::time::sleep(SECOND).await;
    suspend(&*store, &key.record.id, at(1)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        None,
        "the store has not notified it"
    );
    wake.notify_one();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeySuspended)
    );
}

/// The clock stands still while this task is ready to run, so that these are the reads of one
/// moment, whatever the machine does besides.
#[tokio::test(start_paused = true)]
async fn a_flood_of_signals_is_no_flood_of_reads() {
    let store = Scripted::new();
    let wake = Arc::new(Notify::new());
    let authenticator = signalled(&store, &wake);
    tokio::time::sleep(SECOND).await;
    store.calls();
    for _ in 0..1_000 {
        wake.notify_one();
        tokio::task::yield_now().await;
    }
    assert_eq!(store.calls().events, 1);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(store.calls().events, 1, "one for all that came meanwhile");
    drop(authenticator);
}

/// While a read waits for the store, it is the only one.
#[tokio::test(start_paused = true)]
async fn signals_during_a_read_are_one_more_read() {
    let store = Scripted::new();
    let wake = Arc::new(Notify::new());
    let authenticator = signalled(&store, &wake);
    tokio::time::sleep(SECOND).await;
    store.calls();
    store.hold_events();
    wake.notify_one();
    store.at_the_gate(1).await;
    for _ in 0..1_000 {
        wake.notify_one();
        tokio::task::yield_now().await;
    }
    assert_eq!((store.calls().events, store.held()), (1, 1));
    store.open();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(store.calls().events, 1);
    drop(authenticator);
}
