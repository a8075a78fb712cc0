//! Wake-ups: processes notify each other that the store has changed.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::StreamExt;
use keystile_store::{StoreError, Wake};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::connection::Repeat;
use crate::fault::Fault;
use crate::link::Link;
use crate::options::RedisOptions;
use crate::target::Connector;

/// How long an attempt to subscribe takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a lost subscription is made again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often a silent connection is checked, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
const NAME_BYTES_MAX: usize = 64;

/// Notifies the processes of a service that their store has changed, so that they read the
/// changes at once and not at the next poll.
///
/// The message contains nothing and proves nothing: whoever can send it can make the processes
/// read the store's events, no more. A message that is lost costs the time to the next poll. No
/// change waits for a message or fails with it.
///
/// ```no_run
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use keystile::{KeyFormat, Verifier};
/// use keystile_redis::{RedisOptions, RedisWake};
/// use keystile_store::{Authenticator, SqliteStore};
///
/// let store = Arc::new(SqliteStore::open("keys.db")?);
/// let verifier = Verifier::new(KeyFormat::structured("acme")?);
/// let wake = Arc::new(RedisWake::open(&RedisOptions::new("redis://127.0.0.1")?, "keys")?);
/// let keys = Authenticator::builder(store, verifier)
///     .change_signal(wake.subscribe())
///     .wakes(wake)
///     .build()?;
///
/// let refused = RedisWake::open(&RedisOptions::new("redis://127.0.0.1")?, "two words");
/// assert!(refused.is_err());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
pub struct RedisWake {
    subscribers: Arc<Subscribers>,
    /// There is something to publish.
    changed: Arc<Notify>,
    tasks: [AbortHandle; 2],
}

impl RedisWake {
    /// Starts to connect, and does not wait for it. `store` names the store among those that use
    /// the server with the same prefix.
    ///
    /// # Errors
    /// [`StoreError::Setting`] if the name is not 1 to 64 letters, digits, `-`, `_` and `.`;
    /// [`StoreError::Unavailable`] if the root certificates cannot be read, or outside of a tokio
    /// runtime.
    pub fn open(options: &RedisOptions, store: &str) -> Result<Self, StoreError> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=NAME_BYTES_MAX).contains(&store.len()) || !store.bytes().all(is_known) {
            return Err(StoreError::Setting(
                "the name of a store must be 1 to 64 letters, digits, -, _ or .",
            ));
        }
        let channel = format!("{}:wake:{store}", options.prefix);
        let link = Link::open(options)?;
        let connector = Connector::new(options, CONNECT_TIMEOUT)?;
        let (subscribers, changed) = (Arc::<Subscribers>::default(), Arc::<Notify>::default());
        let publish = publish_changes(link, channel.clone(), Arc::clone(&changed));
        let listen = listen_again(connector, channel, Arc::clone(&subscribers));
        Ok(Self {
            tasks: [
                tokio::spawn(publish).abort_handle(),
                tokio::spawn(listen).abort_handle(),
            ],
            subscribers,
            changed,
        })
    }

    /// Is notified of changes until it is dropped: for
    /// [`change_signal`](keystile_store::AuthenticatorBuilder::change_signal).
    #[must_use]
    pub fn subscribe(&self) -> Arc<Notify> {
        let subscriber = Arc::new(Notify::new());
        // It starts notified: changes before the subscription were not delivered.
        subscriber.notify_one();
        let mut all = self.subscribers.all();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&subscriber));
        subscriber
    }
}

impl Wake for RedisWake {
    fn wake(&self) {
        self.changed.notify_one();
    }
}

impl Drop for RedisWake {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for RedisWake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWake").finish_non_exhaustive()
    }
}

#[derive(Default)]
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

/// One message under way at most; changes meanwhile share the next one.
async fn publish_changes(link: Link, channel: String, changed: Arc<Notify>) {
    let mut command = redis::cmd("PUBLISH");
    command.arg(&channel).arg("");
    loop {
        changed.notified().await;
        let _ = link.call(&command, Repeat::Allowed).await;
    }
}

async fn listen_again(connector: Connector, channel: String, subscribers: Arc<Subscribers>) {
    let mut pause = PAUSE_MIN;
    for attempt in 0.. {
        let listened = listen(&connector, attempt, &channel, &subscribers).await;
        pause = match listened {
            Ok(()) => PAUSE_MIN,
            Err(_) => pause.saturating_mul(2).min(PAUSE_MAX),
        };
        sleep(pause).await;
    }
}

/// Listens until the connection fails; an error if it could not be made.
async fn listen(
    connector: &Connector,
    attempt: usize,
    channel: &str,
    subscribers: &Subscribers,
) -> Result<(), Fault> {
    let subscribe = async {
        let client = connector.client(attempt).await?;
        let mut connection = client
            .get_async_pubsub()
            .await
            .map_err(|error| Fault::of(&error))?;
        let subscribed = connection.subscribe(channel).await;
        subscribed.map_err(|error| Fault::of(&error))?;
        Ok::<_, Fault>(connection)
    };
    let connection = timeout(CONNECT_TIMEOUT, subscribe).await;
    let (mut commands, mut messages) = connection.map_err(|_| Fault::Late)??.split();
    // What was published meanwhile was not delivered.
    subscribers.notify();
    loop {
        match timeout(PING_INTERVAL, messages.next()).await {
            Ok(Some(_)) => subscribers.notify(),
            Ok(None) => return Ok(()),
            // Half of a connection may be gone without a word.
            Err(_) => match timeout(PING_TIMEOUT, commands.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return Ok(()),
            },
        }
    }
}
