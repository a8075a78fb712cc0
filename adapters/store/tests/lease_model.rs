//! A model of the revocation bound: all orders in which nodes read the changes, fetch
//! records and answer requests, while messages are as late as they like or are lost. No
//! request that is sent later than the bound after the revocation's commit is allowed.
//!
//! A model that passes says little until it was seen to fail: each fault is found.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "tests"
)]

use stateright::{Checker, Model, Property};

/// The bound, in ticks of the clock that all nodes read.
const BOUND: u8 = 1;

/// A step that is left out or taken in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    LeaseIgnored,
    /// The lease begins when the read has returned.
    CountedAfterRead,
    /// The lease is renewed before what was read is in force.
    RenewedBeforeInvalidation,
    /// A read that was cut short, before the last page, renews the lease.
    CutShortRenews,
    /// A request after the bound joins a fetch of any age.
    OldFetchJoined,
    /// A record is admitted though its key was invalidated since the fetch began.
    AdmittedUnchecked,
    /// The cache is read before the lease is judged.
    CacheReadFirst,
    /// A record that was fetched renews the lease.
    FetchRenews,
}

/// Nodes over one store that holds one key, until a last tick and up to a number of steps.
#[derive(Clone, Copy, Debug)]
struct Nodes {
    count: usize,
    last_tick: u8,
    depth: usize,
    /// They have the key in their caches at the start.
    are_warm: bool,
    fault: Fault,
}

/// All states.
const ONE: Nodes = Nodes {
    count: 1,
    last_tick: 4,
    depth: usize::MAX,
    are_warm: false,
    fault: Fault::None,
};
/// Two nodes have too many states: those that a few steps lead to.
const TWO: Nodes = Nodes {
    count: 2,
    last_tick: 3,
    depth: 11,
    are_warm: true,
    fault: Fault::None,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    tick: u8,
    committed: Option<u8>,
    nodes: Vec<Node>,
    /// A request was allowed that was sent too late.
    is_broken: bool,
    /// One was allowed after the commit, within the bound.
    was_allowed_within: bool,
    /// One was denied that was sent after the bound.
    was_denied: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    lease: u8,
    is_cached: bool,
    /// The count of invalidations: there is one event to read.
    invalidations: u8,
    feed: Feed,
    fetch: Option<Fetch>,
    request: Option<Request>,
}

/// A read of the changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Feed {
    #[default]
    Idle,
    Sent(u8),
    Answered {
        sent: u8,
        has_event: bool,
    },
    CutShort(u8),
    /// One of the two steps was taken: put in force, renew.
    HalfDone {
        sent: u8,
        has_event: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fetch {
    begun: u8,
    as_of: u8,
    /// What the store has answered: whether the key is live.
    is_live: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Request {
    sent: u8,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Arrived,
    /// The lease holds.
    Covered,
    /// The cache was read first: a fault.
    Looked(bool),
    Waits {
        as_of: u8,
        earliest: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Revoke,
    Poll(usize),
    FeedAnswers(usize),
    FeedIsCutShort(usize),
    FeedFails(usize),
    FeedStep(usize),
    Send(usize),
    /// The client goes; a fetch that it began goes on.
    Abandon(usize),
    RequestStep(usize),
    FetchAnswers(usize),
}

impl Model for Nodes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            tick: 0,
            committed: None,
            nodes: vec![
                Node {
                    is_cached: self.are_warm,
                    ..Node::default()
                };
                self.count
            ],
            is_broken: false,
            was_allowed_within: false,
            was_denied: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.tick < self.last_tick {
            actions.push(Action::Tick);
        }
        if state.committed.is_none() {
            actions.push(Action::Revoke);
        }
        for (at, node) in state.nodes.iter().enumerate() {
            match node.feed {
                Feed::Idle => actions.push(Action::Poll(at)),
                Feed::Sent(_) => actions.extend([
                    Action::FeedAnswers(at),
                    Action::FeedIsCutShort(at),
                    Action::FeedFails(at),
                ]),
                _ => actions.push(Action::FeedStep(at)),
            }
            match node.request {
                None => actions.push(Action::Send(at)),
                Some(_) => actions.extend([Action::RequestStep(at), Action::Abandon(at)]),
            }
            if node.fetch.is_some_and(|fetch| fetch.is_live.is_none()) {
                actions.push(Action::FetchAnswers(at));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let (tick, is_live) = (state.tick, state.committed.is_none());
        match action {
            Action::Tick => next.tick += 1,
            Action::Revoke => next.committed = Some(tick),
            Action::Poll(at) => next.nodes[at].feed = Feed::Sent(tick),
            Action::FeedAnswers(at) => {
                let node = &mut next.nodes[at];
                let Feed::Sent(sent) = node.feed else {
                    return None;
                };
                let has_event = !is_live && node.invalidations == 0;
                node.feed = Feed::Answered { sent, has_event };
            }
            Action::FeedIsCutShort(at) => {
                let Feed::Sent(sent) = next.nodes[at].feed else {
                    return None;
                };
                next.nodes[at].feed = Feed::CutShort(sent);
            }
            Action::FeedFails(at) => next.nodes[at].feed = Feed::Idle,
            Action::FeedStep(at) => self.feed_step(&mut next.nodes[at], tick)?,
            Action::Send(at) => {
                let step = Step::Arrived;
                next.nodes[at].request = Some(Request { sent: tick, step });
            }
            Action::Abandon(at) => next.nodes[at].request = None,
            Action::RequestStep(at) => self.request_step(&mut next, at)?,
            Action::FetchAnswers(at) => {
                next.nodes[at].fetch.as_mut()?.is_live = Some(is_live);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the bound holds", |_, state: &State| !state.is_broken),
            Property::sometimes("allowed within it", |_, state: &State| {
                state.was_allowed_within
            }),
            Property::sometimes("denied after it", |_, state: &State| state.was_denied),
        ]
    }
}

impl Nodes {
    fn feed_step(&self, node: &mut Node, tick: u8) -> Option<()> {
        let (sent, has_event, is_half_done) = match node.feed {
            Feed::Answered { sent, has_event } => (sent, has_event, false),
            Feed::HalfDone { sent, has_event } => (sent, has_event, true),
            Feed::CutShort(sent) => {
                if self.fault == Fault::CutShortRenews {
                    node.lease = sent;
                }
                node.feed = Feed::Idle;
                return Some(());
            }
            Feed::Idle | Feed::Sent(_) => return None,
        };
        let renews_first = self.fault == Fault::RenewedBeforeInvalidation;
        if is_half_done == renews_first {
            if has_event {
                node.is_cached = false;
                node.invalidations += 1;
            }
        } else if self.fault == Fault::CountedAfterRead {
            node.lease = tick;
        } else {
            node.lease = sent;
        }
        node.feed = match is_half_done {
            true => Feed::Idle,
            false => Feed::HalfDone { sent, has_event },
        };
        Some(())
    }

    fn request_step(&self, state: &mut State, at: usize) -> Option<()> {
        let tick = state.tick;
        let node = &mut state.nodes[at];
        let request = node.request?;
        let holds = self.fault == Fault::LeaseIgnored || tick - node.lease <= BOUND;
        let (as_of, earliest) = (node.invalidations, tick.saturating_sub(BOUND));
        let revalidates = Step::Waits { as_of, earliest };
        let fetches = Step::Waits { as_of, earliest: 0 };
        let step = match request.step {
            Step::Arrived if self.fault == Fault::CacheReadFirst => Step::Looked(node.is_cached),
            Step::Arrived if holds => Step::Covered,
            Step::Arrived => revalidates,
            Step::Looked(true) if holds => return decide(state, at, true),
            Step::Covered if node.is_cached => return decide(state, at, true),
            Step::Covered => fetches,
            Step::Looked(_) if holds => fetches,
            Step::Looked(_) => revalidates,
            Step::Waits { as_of, earliest } => {
                let joins = self.fault == Fault::OldFetchJoined;
                match node.fetch {
                    Some(fetch) if joins || fetch.begun >= earliest => {
                        return self.admit(state, at, fetch, as_of);
                    }
                    _ => {
                        node.fetch = Some(Fetch {
                            begun: tick,
                            as_of,
                            is_live: None,
                        });
                        return Some(());
                    }
                }
            }
        };
        node.request = Some(Request { step, ..request });
        Some(())
    }

    fn admit(&self, state: &mut State, at: usize, fetch: Fetch, as_of: u8) -> Option<()> {
        let node = &mut state.nodes[at];
        // It waits for the answer.
        let is_live = fetch.is_live?;
        let request = node.request?;
        node.fetch = None;
        let is_overtaken = as_of.min(fetch.as_of) < node.invalidations;
        if is_overtaken && self.fault != Fault::AdmittedUnchecked {
            let step = Step::Waits {
                as_of: node.invalidations,
                earliest: fetch.begun,
            };
            node.request = Some(Request { step, ..request });
            return Some(());
        }
        node.is_cached = is_live;
        if self.fault == Fault::FetchRenews {
            node.lease = state.tick;
        }
        decide(state, at, is_live)
    }
}

fn decide(state: &mut State, at: usize, is_allowed: bool) -> Option<()> {
    let sent = state.nodes[at].request.take()?.sent;
    if let Some(committed) = state.committed {
        let is_late = sent > committed + BOUND;
        state.is_broken |= is_allowed && is_late;
        state.was_allowed_within |= is_allowed && sent > committed;
        state.was_denied |= !is_allowed && is_late;
    }
    Some(())
}

/// Whether the bound is broken.
fn is_broken(nodes: Nodes) -> bool {
    let checker = nodes.checker().threads(2).target_max_depth(nodes.depth);
    let checker = checker.spawn_bfs().join();
    println!("{nodes:?}: {} states", checker.unique_state_count());
    let is_broken = checker.discovery("the bound holds").is_some();
    if !is_broken {
        checker.assert_properties();
    }
    is_broken
}

#[test]
fn no_request_after_the_bound_is_allowed() {
    for nodes in [ONE, TWO] {
        assert!(!is_broken(nodes));
    }
}

#[test]
fn each_fault_is_found() {
    for fault in [
        Fault::LeaseIgnored,
        Fault::CountedAfterRead,
        Fault::RenewedBeforeInvalidation,
        Fault::CutShortRenews,
        Fault::OldFetchJoined,
        Fault::AdmittedUnchecked,
        Fault::CacheReadFirst,
        Fault::FetchRenews,
    ] {
        assert!(is_broken(Nodes { fault, ..ONE }), "{fault:?} is not found");
    }
    let fault = Fault::LeaseIgnored;
    assert!(is_broken(Nodes { fault, ..TWO }), "by two nodes");
}
