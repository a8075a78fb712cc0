//! A connection that is made again when it is lost.

use core::time::Duration;
use std::sync::{Arc, Weak};

use keystile_store::StoreError;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::connection::{Connection, Repeat};
use crate::fault::Fault;
use crate::options::RedisOptions;
use crate::target::Connector;

/// How long an attempt to connect takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two attempts: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Sends calls over a connection, of which one task makes another when it is lost. Meanwhile
/// calls fail: at once, if the last attempt has failed.
pub(crate) struct Link {
    shared: Arc<Shared>,
    places: Semaphore,
    timeout: Duration,
}

struct Shared {
    connector: Connector,
    state: watch::Sender<State>,
    runtime: Handle,
}

#[derive(Clone)]
enum State {
    Connecting,
    /// A connection, and which one it is.
    Up(Connection, u64),
    Down(Fault),
}

impl Link {
    /// Starts to connect, and does not wait for it.
    pub(crate) fn open(options: &RedisOptions) -> Result<Self, StoreError> {
        let runtime = Handle::try_current().map_err(StoreError::unavailable)?;
        let shared = Arc::new(Shared {
            connector: Connector::new(options, CONNECT_TIMEOUT)?,
            state: watch::Sender::new(State::Connecting),
            runtime,
        });
        shared.start_to_connect(0);
        Ok(Self {
            shared,
            places: Semaphore::new(options.calls),
            timeout: options.timeout,
        })
    }

    /// Waits until the first attempt to connect has ended.
    pub(crate) async fn connected(&self) -> Result<(), Fault> {
        self.shared.connection().await.map(drop)
    }

    /// Sends a command and returns its answer, all within the timeout.
    pub(crate) async fn call(&self, command: &Cmd, repeat: Repeat) -> Result<Value, Fault> {
        let deadline = Instant::now()
            .checked_add(self.timeout)
            .unwrap_or_else(Instant::now);
        let place = timeout_at(deadline, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(Fault::Late);
        };
        let mut is_repeated = false;
        loop {
            let connection = timeout_at(deadline, self.shared.connection()).await;
            let (mut connection, number) = connection.map_err(|_| Fault::Late)??;
            let must_be_replaced = connection.must_be_replaced();
            let sent = Instant::now();
            let answer = timeout_at(deadline, connection.send(command, repeat)).await;
            let error = match answer {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            // Of a call that has waited for its turn, little time was left for an answer.
            let was_waited_for = sent.elapsed().saturating_mul(2) >= self.timeout;
            if must_be_replaced && error.as_ref().map_or(was_waited_for, is_lost) {
                self.shared.lost(number);
            }
            let Some(error) = error else {
                return Err(Fault::Late);
            };
            // A connection that was idle may have been closed long ago.
            let again = repeat == Repeat::Allowed && error.is_connection_dropped();
            if is_repeated || !must_be_replaced || !again {
                return Err(Fault::of(&error));
            }
            is_repeated = true;
        }
    }
}

/// Whether the connection is of no use after this. A replica that was the primary before keeps
/// it open.
fn is_lost(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => kind == ServerErrorKind::ReadOnly,
        ErrorKind::Extension => matches!(error.code(), Some("NOAUTH" | "WRONGPASS")),
        ErrorKind::UnexpectedReturnType => false,
        _ => true,
    }
}

impl Shared {
    async fn connection(&self) -> Result<(Connection, u64), Fault> {
        let mut states = self.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Up(connection, number) => return Ok((connection.clone(), *number)),
                State::Down(fault) => return Err(fault.clone()),
                State::Connecting => {}
            }
            if states.changed().await.is_err() {
                return Err(Fault::Late);
            }
        }
    }

    /// Makes another connection, unless there is one already.
    fn lost(self: &Arc<Self>, number: u64) {
        let is_first = self.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Up(_, current) if *current == number);
            if is_it {
                *state = State::Connecting;
            }
            is_it
        });
        if is_first {
            self.start_to_connect(number.wrapping_add(1));
        }
    }

    fn start_to_connect(self: &Arc<Self>, number: u64) {
        self.runtime
            .spawn(connect_until_it_works(Arc::downgrade(self), number));
    }
}

async fn connect_until_it_works(shared: Weak<Shared>, number: u64) {
    let mut pause = PAUSE_MIN;
    loop {
        let Some(shared) = shared.upgrade() else {
            return;
        };
        // The library's limit does not include the lookup of a host's name in all its forms.
        let deadline = Instant::now().checked_add(CONNECT_TIMEOUT);
        let attempt = shared.connector.connect();
        let attempt = timeout_at(deadline.unwrap_or_else(Instant::now), attempt).await;
        match attempt.unwrap_or(Err(Fault::Late)) {
            Ok(connection) => {
                shared.state.send_replace(State::Up(connection, number));
                return;
            }
            Err(fault) => shared.state.send_replace(State::Down(fault)),
        };
        drop(shared);
        sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}
