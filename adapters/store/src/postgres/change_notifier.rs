//! Notifies subscribers of changes as they happen.

use core::future::poll_fn;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;

use super::connections::Connections;
use super::fault::Fault;
use super::read;
use super::target::Target;
use crate::error::StoreError;

/// The pause before a lost connection is made again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the connection is checked, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the events are polled if the store cannot listen.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The subscribers, and the task that notifies them, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct ChangeNotifier {
    subscribers: Arc<Subscribers>,
    task: AbortHandle,
}

impl ChangeNotifier {
    /// Listens on a separate connection.
    pub(super) fn listening(target: Target) -> Self {
        Self::spawn(async move |subscribers: Arc<Subscribers>| {
            let mut pause = PAUSE_MIN;
            loop {
                if listen(&target, &subscribers, &mut pause).await.is_err() {
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        })
    }

    /// Polls the events, since a pool drops the notifications that its connections receive.
    pub(super) fn polling(connections: Connections) -> Self {
        Self::spawn(async move |subscribers: Arc<Subscribers>| {
            let mut last = None;
            loop {
                let seen = last_event(&connections).await.ok();
                // A poll that failed clears `last`: there may have been changes meanwhile.
                if seen.is_some() && seen != last {
                    subscribers.notify();
                }
                last = seen;
                sleep(POLL_INTERVAL).await;
            }
        })
    }

    fn spawn<F: Future<Output = ()> + Send + 'static>(
        watch: impl FnOnce(Arc<Subscribers>) -> F,
    ) -> Self {
        let subscribers = Arc::<Subscribers>::default();
        let task = tokio::spawn(watch(Arc::clone(&subscribers))).abort_handle();
        Self { subscribers, task }
    }

    /// A new subscriber, which is notified until it is dropped.
    pub(super) fn subscribe(&self) -> Arc<Notify> {
        let subscriber = Arc::new(Notify::new());
        // It starts notified: changes before the subscription were not delivered.
        subscriber.notify_one();
        let mut all = self.subscribers.all();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&subscriber));
        subscriber
    }
}

impl Drop for ChangeNotifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct Subscribers(Mutex<Vec<Weak<Notify>>>);

impl Subscribers {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        for subscriber in self.all().iter().filter_map(Weak::upgrade) {
            // The notification is kept for a subscriber that is not waiting at the moment.
            subscriber.notify_one();
        }
    }
}

/// Listens until the connection fails.
async fn listen(
    target: &Target,
    subscribers: &Subscribers,
    pause: &mut Duration,
) -> Result<(), Fault> {
    let (client, mut next) = target.connect().await?;
    let receive = async {
        while let Some(message) = poll_fn(&mut next).await.transpose()? {
            if matches!(message, AsyncMessage::Notification(_)) {
                subscribers.notify();
            }
        }
        Err(StoreError::unavailable(ConnectionLost).into())
    };
    let check = async {
        client.batch_execute("LISTEN keystile_changes").await?;
        // Changes before this were not received.
        subscribers.notify();
        *pause = PAUSE_MIN;
        loop {
            sleep(PING_INTERVAL).await;
            match timeout(PING_TIMEOUT, client.check_connection()).await {
                Ok(answered) => answered?,
                Err(_) => return Err(StoreError::unavailable(ConnectionLost).into()),
            }
        }
    };
    tokio::select! {
        ended = receive => ended,
        ended = check => ended,
    }
}

/// The number of the last event.
async fn last_event(connections: &Connections) -> Result<u64, StoreError> {
    connections
        .run(async |client| read::last_event(client).await)
        .await
}

#[derive(Debug, thiserror::Error)]
#[error("the connection that listens for changes was lost")]
struct ConnectionLost;
