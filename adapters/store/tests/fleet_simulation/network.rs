//! The way of one machine to a server: messages are late, are lost in either direction, and wait
//! while the machine sleeps.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard};

use keystile_store::StoreError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, sleep_until, timeout};

use crate::clocks;

/// Messages arrive at these milliseconds of each four, and the steps of a schedule come at
/// others. `tokio::select!` draws lots among branches that are ready, so what would make two of
/// them ready in the same millisecond has to be apart, or a seed would not repeat.
const ARRIVAL: u64 = 1;
pub(crate) const GRID_MILLIS: u64 = 4;

/// What one machine's messages suffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// Requests do not arrive.
    pub(crate) requests_are_lost: bool,
    /// Answers do not arrive.
    pub(crate) answers_are_lost: bool,
    pub(crate) is_slow: bool,
    /// The machine sleeps, or its processes are stopped: it sends and receives nothing.
    pub(crate) is_suspended: bool,
}

#[derive(Debug)]
pub(crate) struct Link {
    seed: u64,
    node: usize,
    /// How long a driver waits for an answer that does not come.
    patience: Duration,
    trouble: Mutex<Trouble>,
    wakes: Notify,
    /// The latest millisecond at which a message was sent, and how many were.
    sent: Mutex<(u64, u64)>,
}

/// What becomes of one call.
struct Fate {
    request: u64,
    answer: u64,
    /// A loss is an error at once, and no silence.
    is_reset: bool,
}

impl Link {
    pub(crate) fn new(seed: u64, node: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            seed,
            node,
            patience,
            trouble: Mutex::default(),
            wakes: Notify::new(),
            sent: Mutex::default(),
        })
    }

    pub(crate) fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap()
    }

    /// Nothing is lost from now on, and the machine is awake.
    pub(crate) fn heal(&self) {
        *self.trouble() = Trouble::default();
        self.wakes.notify_waiters();
    }

    pub(crate) fn resume(&self) {
        self.trouble().is_suspended = false;
        self.wakes.notify_waiters();
    }

    /// Waits while the machine sleeps; returns whether it did.
    pub(crate) async fn awake(&self) -> bool {
        let mut slept = false;
        loop {
            let woken = self.wakes.notified();
            if !self.trouble().is_suspended {
                return slept;
            }
            slept = true;
            woken.await;
        }
    }

    /// As [`awake`](Self::awake), for what then arrives.
    async fn received(&self) {
        if self.awake().await {
            sleep(Duration::from_millis(ARRIVAL)).await;
        }
    }

    /// Sends a request, and waits for its answer. Once sent it may arrive, even if its sender no
    /// longer waits or is gone. `epoch` changes when the server loses its connections.
    pub(crate) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        epoch: impl Fn() -> Option<u64> + Send + Sync + 'static,
        serve: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.received().await;
        let fate = self.fate();
        let (answer, answered) = oneshot::channel();
        let (link, connection) = (Arc::clone(self), epoch());
        tokio::spawn(async move {
            let is_up = || connection.is_some() && epoch() == connection;
            arrive_after(fate.request).await;
            let mut result = Err(lost());
            let mut is_lost = link.trouble().requests_are_lost || !is_up();
            if !is_lost {
                result = serve.await;
                arrive_after(fate.answer).await;
                is_lost = link.trouble().answers_are_lost || !is_up();
            }
            match is_lost {
                false => drop(answer.send(result)),
                true if fate.is_reset => drop(answer.send(Err(lost()))),
                // The sender waits as long as it likes.
                true => {}
            }
        });
        let answered = async {
            match answered.await {
                Ok(result) => result,
                Err(_) => core::future::pending().await,
            }
        };
        let result = timeout(self.patience, answered).await;
        let result = result.unwrap_or_else(|_| Err(lost()));
        self.received().await;
        result
    }

    /// It depends on the seed, the instant and the place among the messages of this instant, and
    /// not on what other machines have sent.
    fn fate(&self) -> Fate {
        let now = clocks::millis();
        let mut sent = self.sent.lock().unwrap();
        *sent = if sent.0 == now {
            (now, sent.1 + 1)
        } else {
            (now, 0)
        };
        let mut rng = crate::test_rng::TestRng::seeded(
            self.seed ^ (now << 20) ^ (sent.1 << 8) ^ self.node as u64,
        );
        let slow = self.trouble().is_slow;
        let mut delay = || match rng.below(12) {
            0 => rng.below(120),
            _ if slow => rng.below(450),
            _ => rng.below(6),
        };
        let (request, answer) = (delay(), delay());
        Fate {
            request,
            answer,
            is_reset: rng.below(2) == 0,
        }
    }
}

/// Waits so many milliseconds, and until a message may arrive.
async fn arrive_after(millis: u64) {
    let at = clocks::millis() + millis;
    let at = at + (GRID_MILLIS + ARRIVAL - at % GRID_MILLIS) % GRID_MILLIS;
    sleep_until(clocks::instant(at)).await;
}

fn lost() -> StoreError {
    StoreError::unavailable(std::io::Error::other("the connection is lost"))
}
