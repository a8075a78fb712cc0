//! What callers saw of the fleet: what was asked and answered, and what was done to it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use keystile::{Cause, KeyId};

use crate::node::TIMEOUT_MILLIS;

/// A key as its owner has it.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) lineage: KeyId,
    pub(crate) text: String,
}

/// A request with a key. Times are by a clock that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) node: usize,
    /// The number of the process among those that ran on this node.
    pub(crate) process: u32,
    pub(crate) key: usize,
    pub(crate) sent: u64,
    pub(crate) answered: Option<u64>,
    pub(crate) answer: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answered {
    /// No answer came yet.
    Not,
    /// The process ended first.
    Never,
    Allowed,
    /// The number of the cause.
    Denied(u8),
}

/// A verb that a process, or another writer of the store, was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Verb {
    pub(crate) kind: VerbKind,
    pub(crate) id: KeyId,
    /// `None`: another writer.
    pub(crate) by: Option<(usize, u32)>,
    pub(crate) outcome: VerbOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum VerbKind {
    Issue,
    Revoke,
    Suspend,
    Resume,
    Change,
    Rotate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum VerbOutcome {
    UnderWay,
    /// The process ended first.
    GivenUp,
    Failed,
    /// It returned at this millisecond, and was done.
    Acknowledged(u64),
}

/// What may cost a process a burst: it was started again, or its clock was set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jolt {
    pub(crate) node: usize,
    pub(crate) at: u64,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) keys: Vec<Key>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) verbs: Vec<Verb>,
    pub(crate) jolts: Vec<Jolt>,
    /// When the server of limits lost what it knew, or its clock was set.
    pub(crate) losses: Vec<u64>,
    /// Processes that were asked to stop, and have not.
    pub(crate) stopping: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<History>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap()
    }
}

impl Answered {
    pub(crate) fn of(denied: Option<Cause>) -> Self {
        denied.map_or(Self::Allowed, |cause| Self::Denied(cause as u8))
    }
}

impl History {
    /// Whether a request with a key of this lineage waits for its answer on this node.
    pub(crate) fn waits(&self, node: usize, key: usize) -> bool {
        let lineage = self.keys[key].lineage;
        let of = |asked: &Asked| asked.node == node && self.keys[asked.key].lineage == lineage;
        let mut asked = self.asked.iter();
        asked.any(|asked| of(asked) && asked.answer == Answered::Not)
    }

    /// Whether requests that were sent together came to the end of their time together, while
    /// some of them waited for what another one of them had begun.
    pub(crate) fn has_late_bursts(&self) -> bool {
        let is_late = |asked: &&Asked| asked.answered == Some(asked.sent + TIMEOUT_MILLIS);
        let late = self.asked.iter().filter(is_late);
        let mut seen = HashSet::new();
        late.map(|asked| (asked.node, asked.key, asked.sent))
            .any(|burst| !seen.insert(burst))
    }

    /// The process on this node has ended with what it had under way.
    pub(crate) fn has_crashed(&mut self, node: usize, process: u32) {
        let own = |asked: &&mut Asked| (asked.node, asked.process) == (node, process);
        for asked in self.asked.iter_mut().filter(own) {
            if asked.answer == Answered::Not {
                asked.answer = Answered::Never;
            }
        }
        for verb in &mut self.verbs {
            if verb.by == Some((node, process)) && verb.outcome == VerbOutcome::UnderWay {
                verb.outcome = VerbOutcome::GivenUp;
            }
        }
    }
}
