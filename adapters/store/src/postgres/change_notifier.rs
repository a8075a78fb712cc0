//! Hearing of changes as they happen.

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

/// How soon a lost connection is made again, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often the server is asked whether it is still there, and how long that may take.
const PING: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the events are looked at where one cannot listen.
const LOOK: Duration = Duration::from_secs(1);

/// Those who want to be woken, and the task that wakes them, which ends with this.
#[derive(Debug)]
pub(super) struct ChangeNotifier {
    sleepers: Arc<Sleepers>,
    task: AbortHandle,
}

impl ChangeNotifier {
    /// Listens on a connection of its own.
    pub(super) fn listening(target: Target) -> Self {
        Self::by(async move |sleepers: Arc<Sleepers>| {
            let mut pause = PAUSE_MIN;
            loop {
                if listen(&target, &sleepers, &mut pause).await.is_err() {
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
        })
    }

    /// Looks at the events again and again: what a pool's connections hear, the pool
    /// throws away.
    pub(super) fn looking(connections: Connections) -> Self {
        Self::by(async move |sleepers: Arc<Sleepers>| {
            let mut last = None;
            loop {
                let seen = look(&connections).await.ok();
                // Where one could not look there may have been something.
                if seen.is_some() && seen != last {
                    sleepers.wake();
                }
                last = seen;
                sleep(LOOK).await;
            }
        })
    }

    fn by<F: Future<Output = ()> + Send + 'static>(watch: impl FnOnce(Arc<Sleepers>) -> F) -> Self {
        let sleepers = Arc::<Sleepers>::default();
        let task = tokio::spawn(watch(Arc::clone(&sleepers))).abort_handle();
        Self { sleepers, task }
    }

    /// One more who is woken, as long as it is held.
    pub(super) fn sleeper(&self) -> Arc<Notify> {
        let sleeper = Arc::new(Notify::new());
        // What happened before it came to be, nobody woke it for.
        sleeper.notify_one();
        let mut all = self.sleepers.all();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&sleeper));
        sleeper
    }
}

impl Drop for ChangeNotifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct Sleepers(Mutex<Vec<Weak<Notify>>>);

impl Sleepers {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        for sleeper in self.all().iter().filter_map(Weak::upgrade) {
            // Kept for one that is not asleep just now.
            sleeper.notify_one();
        }
    }
}

/// Listens until the connection ends, which it does not of itself.
async fn listen(target: &Target, sleepers: &Sleepers, pause: &mut Duration) -> Result<(), Fault> {
    let (client, mut next) = target.connect().await?;
    let hear = async {
        while let Some(message) = poll_fn(&mut next).await.transpose()? {
            if matches!(message, AsyncMessage::Notification(_)) {
                sleepers.wake();
            }
        }
        Err(StoreError::unavailable(Gone).into())
    };
    let ask = async {
        client.batch_execute("LISTEN keystile_changes").await?;
        // Before now there was nobody who heard.
        sleepers.wake();
        *pause = PAUSE_MIN;
        loop {
            sleep(PING).await;
            match timeout(PING_TIMEOUT, client.check_connection()).await {
                Ok(answered) => answered?,
                Err(_) => return Err(StoreError::unavailable(Gone).into()),
            }
        }
    };
    tokio::select! {
        ended = hear => ended,
        ended = ask => ended,
    }
}

/// The number of the last event.
async fn look(connections: &Connections) -> Result<u64, StoreError> {
    let client = connections.take().await?;
    match connections.finish(read::last_event(&client)).await {
        Ok(last) => Ok(last),
        Err(unfinished) => Err(unfinished.settle(client)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is gone")]
struct Gone;
