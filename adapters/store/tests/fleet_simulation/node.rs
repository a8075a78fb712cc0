//! A node of the fleet: a machine with its clocks and its way to the store, and the process that
//! runs on it.

use core::time::Duration;
use std::sync::Arc;

use keystile::{Denial, KeyFormat, Leases, Request, Verifier};
use keystile_store::{Authenticator, Limits, StoreError, StoredLimits};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::clocks::{self, NODES_MAX, WALLS};
use crate::database::Database;
use crate::fault::Fault;
use crate::history::{Answered, Asked, Jolt, Shared, Verb, VerbKind, VerbOutcome};
use crate::limits_server::{LimitsServer, RemoteLimits};
use crate::mode::Counting;
use crate::network::Link;
use crate::remote_store::RemoteStore;

/// The bound of the processes.
pub(crate) const BOUND_MILLIS: u64 = 1_000;
/// How long a request waits for the store.
pub(crate) const TIMEOUT_MILLIS: u64 = 600;
/// How long it waits for the limits: less, so that both do not end in the same millisecond.
const LIMITS_TIMEOUT_MILLIS: u64 = 400;
/// How long a verb waits for an answer of the store.
const PATIENCE_MILLIS: u64 = 1_000;
/// Records that a process caches, which is more than there are.
const CAPACITY: usize = 64;

pub(crate) struct Node {
    number: usize,
    pub(crate) link: Arc<Link>,
    /// The way to the server of limits.
    pub(crate) limits_link: Arc<Link>,
    pub(crate) process: Option<Process>,
    started: u32,
}

/// What the processes of a fleet have in common.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) database: Arc<Database>,
    pub(crate) limits: Arc<LimitsServer>,
    pub(crate) counting: Counting,
    pub(crate) history: Shared,
    pub(crate) format: KeyFormat,
    pub(crate) poll: Duration,
    pub(crate) fault: Fault,
}

pub(crate) struct Process {
    pub(crate) number: u32,
    pub(crate) keys: Authenticator<RemoteStore>,
    pub(crate) store: RemoteStore,
    pub(crate) signal: Arc<Notify>,
    tasks: Vec<AbortHandle>,
}

impl Node {
    pub(crate) fn new(seed: u64, number: usize, fault: Fault) -> Self {
        let patience = match fault {
            Fault::WaitsForEver => Duration::from_secs(3_600),
            _ => Duration::from_millis(PATIENCE_MILLIS),
        };
        Self {
            number,
            link: Link::new(seed, number, patience),
            limits_link: Link::new(seed, NODES_MAX + number, patience),
            process: None,
            started: 0,
        }
    }

    /// Starts a process, if none runs.
    pub(crate) fn start(&mut self, fleet: &Fleet) {
        if self.process.is_some() {
            return;
        }
        self.started += 1;
        if self.started > 1 {
            self.is_jolted(fleet);
        }
        let (machine, stands_still) = (self.number, fleet.fault == Fault::LeaseStandsStill);
        let lease_clock = move || match stands_still {
            true => Duration::from_secs(1),
            false => clocks::boot(machine),
        };
        let store = RemoteStore::new(&fleet.database, &self.link);
        let waits_for_ever = fleet.fault == Fault::WaitsForEver;
        let [timeout, limits_timeout] =
            [TIMEOUT_MILLIS, LIMITS_TIMEOUT_MILLIS].map(|millis| match waits_for_ever {
                true => Duration::from_secs(3_600),
                false => Duration::from_millis(millis),
            });
        let signal = Arc::new(Notify::new());
        let verifier = Verifier::new(fleet.format.clone());
        let mut builder = Authenticator::builder(Arc::new(store.clone()), verifier)
            .capacity(CAPACITY)
            .revocation_bound(Duration::from_millis(BOUND_MILLIS))
            .poll_interval(fleet.poll)
            .store_timeout(timeout)
            .clock(WALLS[machine])
            .lease_clock(lease_clock)
            .change_signal(Arc::clone(&signal))
            .limits_timeout(limits_timeout);
        if let Some(leases) = fleet.counting.leases() {
            builder = builder
                .leases(self.leases(leases, fleet))
                .limits(self.limits(fleet, &store));
        }
        let keys = builder.build().unwrap();
        self.process = Some(Process {
            number: self.started,
            keys,
            store,
            signal,
            tasks: Vec::new(),
        });
    }

    /// Where limits are counted, through the network.
    fn limits(&self, fleet: &Fleet, store: &RemoteStore) -> Arc<dyn Limits> {
        match fleet.counting {
            Counting::InTheStore(_) => Arc::new(StoredLimits::new(Arc::new(store.clone()))),
            _ => Arc::new(RemoteLimits {
                server: Arc::clone(&fleet.limits),
                link: Arc::clone(&self.limits_link),
            }),
        }
    }

    fn leases(&self, leases: Leases, fleet: &Fleet) -> Leases {
        match fleet.fault {
            Fault::SharesAreWhole => leases.with_share(1).unwrap(),
            _ => leases,
        }
    }

    pub(crate) fn suspend(&self) {
        self.link.trouble().is_suspended = true;
        self.limits_link.trouble().is_suspended = true;
    }

    pub(crate) fn resume(&self) {
        self.link.resume();
        self.limits_link.resume();
    }

    pub(crate) fn heal(&self) {
        self.link.heal();
        self.limits_link.heal();
    }

    /// The process is asked to stop; another may be started at once.
    pub(crate) fn stop(&mut self, fleet: &Fleet) {
        let Some(process) = self.process.take() else {
            return;
        };
        let history = fleet.history.clone();
        history.lock().stopping += 1;
        tokio::spawn(async move {
            let _ = process.keys.stop().await;
            history.lock().stopping -= 1;
        });
    }

    /// The process is killed.
    pub(crate) fn crash(&mut self, fleet: &Fleet) {
        let Some(process) = self.process.take() else {
            return;
        };
        process.store.is_gone();
        for task in &process.tasks {
            task.abort();
        }
        let mut history = fleet.history.lock();
        history.has_crashed(self.number, process.number);
    }

    pub(crate) fn set_clock(&self, fleet: &Fleet, millis: i64) {
        clocks::set_by(self.number, millis);
        self.is_jolted(fleet);
    }

    fn is_jolted(&self, fleet: &Fleet) {
        let (node, at) = (self.number, clocks::millis());
        fleet.history.lock().jolts.push(Jolt { node, at });
    }

    /// Sends a request with a key.
    pub(crate) fn ask(&mut self, fleet: &Fleet, key: usize) {
        let Some(process) = &mut self.process else {
            return;
        };
        let mut history = fleet.history.lock();
        let text = history.keys[key].text.clone();
        let mut asked = Asked {
            node: self.number,
            process: process.number,
            key,
            sent: clocks::millis(),
            answered: None,
            answer: Answered::Not,
        };
        let now = clocks::wall_of(self.number);
        let is_awake = !self.link.trouble().is_suspended;
        if is_awake
            && let Ok(answer) = process
                .keys
                .try_check(text.as_bytes(), &Request::new(), now)
        {
            asked.answer = Answered::of(answer.decision.denial().map(Denial::cause));
            asked.answered = Some(asked.sent);
            return history.asked.push(asked);
        }
        let at = history.asked.len();
        history.asked.push(asked);
        drop(history);
        let (keys, link, number) = (process.keys.clone(), Arc::clone(&self.link), self.number);
        let history = fleet.history.clone();
        let task = tokio::spawn(async move {
            link.awake().await;
            let now = clocks::wall_of(number);
            let answer = keys.check(text.as_bytes(), &Request::new(), now).await;
            let asked = &mut history.lock().asked[at];
            asked.answer = Answered::of(answer.decision.denial().map(Denial::cause));
            asked.answered = Some(clocks::millis());
        });
        process.tasks.push(task.abort_handle());
    }

    /// Asks the process for a verb, which begins when the machine is awake.
    pub(crate) fn does<F>(
        &mut self,
        fleet: &Fleet,
        verb: (VerbKind, keystile::KeyId),
        done: impl FnOnce(Authenticator<RemoteStore>, keystile::UnixMillis) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let Some(process) = &mut self.process else {
            return;
        };
        let (number, link) = (self.number, Arc::clone(&self.link));
        let history = fleet.history.clone();
        let at = {
            let mut history = history.lock();
            history.verbs.push(Verb {
                kind: verb.0,
                id: verb.1,
                by: Some((number, process.number)),
                outcome: VerbOutcome::UnderWay,
            });
            history.verbs.len() - 1
        };
        let keys = process.keys.clone();
        let task = tokio::spawn(async move {
            link.awake().await;
            let outcome = done(keys, clocks::wall_of(number)).await;
            history.lock().verbs[at].outcome = match outcome {
                Ok(()) => VerbOutcome::Acknowledged(clocks::millis()),
                Err(_) => VerbOutcome::Failed,
            };
        });
        process.tasks.push(task.abort_handle());
    }
}
