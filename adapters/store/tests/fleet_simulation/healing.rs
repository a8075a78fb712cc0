//! After a schedule everything is healed, and after a while each valid key has to be allowed on
//! each node.

use std::collections::HashSet;

use keystile::{KeyId, KeyRecord, Lookup, Status};
use keystile_store::Store;

use crate::clocks;
use crate::history::{Answered, VerbOutcome};
use crate::schedule::World;

/// How long requests and verbs may go on that were under way when all was healed.
const PATIENCE_MILLIS: u64 = 8_000;
/// Steps of the grid between two looks.
const LOOK: u64 = 50;
/// How often a key is tried, which may have spent its limit.
const TRIES: usize = 20;

/// What is left in the end.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// What is still under way.
    pub(crate) hangs: Vec<String>,
    /// Keys that are valid, and are refused on this node.
    pub(crate) refused: Vec<(usize, KeyId, Answered)>,
    /// The records of the store.
    pub(crate) records: Vec<KeyRecord>,
}

impl World {
    pub(crate) async fn heal(&mut self) -> End {
        self.fleet.database.is_down(false);
        self.fleet.limits.is_down(false);
        for node in &self.nodes {
            node.heal();
        }
        self.start_all().await;
        let mut end = End {
            hangs: self.what_hangs().await,
            ..End::default()
        };
        if end.hangs.is_empty() {
            end.refused = self.try_all().await;
            end.hangs = self.what_hangs().await;
        }
        let ids: HashSet<_> = {
            let history = self.fleet.history.lock();
            history.keys.iter().map(|key| key.id).collect()
        };
        for id in ids {
            let found = self.fleet.database.find(&Lookup::Id(id)).await;
            end.records.extend(found.unwrap());
        }
        end
    }

    /// Each node is asked with each key, again and again until the valid ones are allowed.
    async fn try_all(&mut self) -> Vec<(usize, KeyId, Answered)> {
        let keys: Vec<_> = {
            let history = self.fleet.history.lock();
            history.keys.iter().map(|key| key.id).enumerate().collect()
        };
        let mut missing: Vec<_> = (0..self.nodes.len())
            .flat_map(|node| keys.iter().map(move |(key, id)| (node, *key, *id)))
            .collect();
        let mut refused = Vec::new();
        for _ in 0..TRIES {
            let mut tried = Vec::new();
            for (node, key, id) in core::mem::take(&mut missing) {
                // As in the steps, for a run that repeats.
                let waits = self.fleet.history.lock().waits(node, key);
                let at = (!waits).then(|| self.fleet.history.lock().asked.len());
                if !waits {
                    self.nodes[node].ask(&self.fleet, key);
                }
                tried.push(((node, key, id), at));
            }
            self.pass(LOOK).await;
            refused.clear();
            for (tried, at) in tried {
                let (node, _, id) = tried;
                let answer = at.map_or(Answered::Not, |at| {
                    self.fleet.history.lock().asked[at].answer
                });
                let found = self.fleet.database.find(&Lookup::Id(id)).await.unwrap();
                if answer != Answered::Allowed && found.as_ref().is_some_and(is_valid) {
                    refused.push((node, id, answer));
                    missing.push(tried);
                }
            }
            if missing.is_empty() {
                break;
            }
        }
        refused
    }

    /// Waits until all requests are answered and all verbs have returned, and returns those that
    /// are not after a long time.
    async fn what_hangs(&self) -> Vec<String> {
        let until = clocks::millis() + PATIENCE_MILLIS;
        loop {
            let under_way = self.under_way();
            if under_way.is_empty() || clocks::millis() >= until {
                return under_way;
            }
            self.pass(LOOK).await;
        }
    }

    fn under_way(&self) -> Vec<String> {
        let history = self.fleet.history.lock();
        let asked = history
            .asked
            .iter()
            .filter(|asked| asked.answer == Answered::Not);
        let verbs = history.verbs.iter();
        let verbs = verbs.filter(|verb| verb.outcome == VerbOutcome::UnderWay);
        let asked = asked.map(|asked| format!("{asked:?}"));
        let stops = (0..history.stopping).map(|_| "a stop".to_owned());
        asked
            .chain(verbs.map(|verb| format!("{verb:?}")))
            .chain(stops)
            .collect()
    }
}

/// Of a key that was replaced, the end of its overlap may have come.
fn is_valid(record: &KeyRecord) -> bool {
    record.status == Status::Active
        && record.replaced_by.is_none()
        && record.remaining_uses != Some(0)
}
