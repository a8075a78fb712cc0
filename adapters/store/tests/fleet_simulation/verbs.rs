//! What is done to keys, by the processes and by another writer of the store.

use keystile::{IssueRequest, KeyChange, KeyId, Millis, RateLimit, RotationPolicy, UnixMillis};
use keystile_store::{Authenticator, StoreError, resume, revoke, save_issued, suspend};
use tokio::time::sleep_until;

use crate::clocks::{self, STORE};
use crate::fault::Fault;
use crate::history::{Key, Verb, VerbKind, VerbOutcome};
use crate::network::GRID_MILLIS;
use crate::remote_store::RemoteStore;
use crate::schedule::{KEYS, World};
use crate::test_rng::TestRng;

const KEYS_MAX: usize = 7;
/// Limits as requests, the window in milliseconds, and the burst.
const LIMITS: [(u32, u64, u32); 5] = [
    (4, 1_000, 16),
    (5, 500, 3),
    (10, 1_000, 10),
    (3, 200, 1),
    (48, 800, 24),
];

type Keys = Authenticator<RemoteStore>;

impl World {
    pub(crate) async fn verb(&mut self, drawn: u64, at: usize) {
        let by = (self.rng.below(3) > 0).then_some(at);
        let keys = self.fleet.history.lock().keys.len();
        let mut key = self.rng.below(keys as u64) as usize;
        if self.rng.below(3) > 0 {
            match self.hot {
                0 => key = 0,
                hot if key == hot => key = (key + 1) % keys,
                _ => {}
            }
        }
        let id = self.fleet.history.lock().keys[key].id;
        let kind = match drawn {
            75..79 => VerbKind::Revoke,
            79..81 => VerbKind::Suspend,
            81..83 => VerbKind::Resume,
            83..85 => VerbKind::Change,
            85..87 => VerbKind::Rotate,
            _ => VerbKind::Issue,
        };
        let writer = by.map_or("another writer".to_owned(), |at| at.to_string());
        self.note(|| format!("{kind:?} key {key} by {writer}"));
        match (kind, by) {
            (_, Some(at)) if self.nodes[at].process.is_none() => return,
            (VerbKind::Change, _) if !self.has_limit(&id) => return,
            (VerbKind::Issue, _) if keys >= KEYS_MAX => return,
            (VerbKind::Issue, _) => {
                let kind = self.rng.below(KEYS as u64) as usize;
                self.issue(kind, by).await;
            }
            (VerbKind::Rotate, _) if keys >= KEYS_MAX => return,
            (VerbKind::Rotate, None) => return,
            (VerbKind::Rotate, Some(at)) => self.rotate(at, id),
            (_, Some(at)) => self.change(at, kind, id),
            (_, None) => self.change_directly(kind, id).await,
        }
        self.wake();
    }

    /// Reports to each process that there are changes: perhaps, later, and perhaps twice.
    pub(crate) fn wake(&mut self) {
        for node in &self.nodes {
            let (is_sent, late) = (self.rng.below(2) == 0, self.rng.below(20));
            let Some(process) = node.process.as_ref().filter(|_| is_sent) else {
                continue;
            };
            let (signal, twice) = (process.signal.clone(), self.rng.below(4) == 0);
            let grid = clocks::millis() / GRID_MILLIS + late;
            tokio::spawn(async move {
                sleep_until(clocks::instant(grid * GRID_MILLIS + 3)).await;
                signal.notify_one();
                if twice {
                    sleep_until(clocks::instant((grid + 1) * GRID_MILLIS + 3)).await;
                    signal.notify_one();
                }
            });
        }
    }

    /// A key without a limit, with one, with counted uses, or with both.
    pub(crate) async fn issue(&mut self, kind: usize, by: Option<usize>) {
        let mut request = IssueRequest::new("Acme").unwrap();
        match kind {
            0 => {}
            1 => request = request.rate_limit(self.any_limit()),
            2 => request = request.uses(1 + self.rng.below(12)).unwrap(),
            _ => {
                let limit = self.any_limit();
                request = request.uses(25).unwrap().rate_limit(limit);
            }
        }
        let now = clocks::wall_of(by.unwrap_or(STORE));
        let issued = self.issuer.issue(&request, &mut self.rng, now).unwrap();
        let key = Key {
            id: issued.record.id,
            lineage: issued.record.lineage,
            text: issued.key.expose().to_owned(),
        };
        let id = key.id;
        self.fleet.history.lock().keys.push(key);
        match by {
            None => self.done(
                VerbKind::Issue,
                id,
                save_issued(&*self.fleet.database, &issued).await,
            ),
            Some(at) => {
                let save = async move |keys: Keys, _| keys.save_issued(&issued).await;
                self.nodes[at].does(&self.fleet, (VerbKind::Issue, id), save);
            }
        }
    }

    fn change(&mut self, at: usize, kind: VerbKind, id: KeyId) {
        let limit = self.any_limit();
        let bypasses = self.fleet.fault == Fault::VerbsBypassTheProcess;
        let done = async move |keys: Keys, now: UnixMillis| {
            let store = &**keys.store();
            let change = KeyChange::new().rate_limit(limit);
            match kind {
                VerbKind::Revoke if bypasses => revoke(store, &id, "leaked", now).await,
                VerbKind::Revoke => keys.revoke(&id, "leaked", now).await,
                VerbKind::Suspend => keys.suspend(&id, now).await,
                VerbKind::Resume => keys.resume(&id, now).await,
                _ => keys.change(&id, &change, now).await,
            }
            .map(drop)
        };
        self.nodes[at].does(&self.fleet, (kind, id), done);
    }

    async fn change_directly(&mut self, kind: VerbKind, id: KeyId) {
        let limit = self.any_limit();
        let (store, now) = (&*self.fleet.database, clocks::wall_of(STORE));
        let change = KeyChange::new().rate_limit(limit);
        let outcome = match kind {
            VerbKind::Revoke => revoke(store, &id, "leaked", now).await,
            VerbKind::Suspend => suspend(store, &id, now).await,
            VerbKind::Resume => resume(store, &id, now).await,
            _ => keystile_store::change(store, &id, &change, now).await,
        };
        self.done(kind, id, outcome.map(drop));
    }

    fn rotate(&mut self, at: usize, id: KeyId) {
        let overlap = [0, 500, 60_000][self.rng.below(3) as usize];
        let policy = RotationPolicy::default()
            .with_overlap(Millis::new(overlap))
            .unwrap()
            .with_end_on_first_use(self.rng.below(2) == 0);
        let format = self.fleet.format.clone();
        let mut rng = TestRng::seeded(self.rng.next_u64());
        let history = self.fleet.history.clone();
        let done = async move |keys: Keys, now| {
            let rotated = keys.rotate(&id, &policy, Some(&format), &mut rng, now);
            let rotated = rotated.await?;
            history.lock().keys.push(Key {
                id: rotated.successor.id,
                lineage: rotated.successor.lineage,
                text: rotated.key.expose().to_owned(),
            });
            Ok(())
        };
        self.nodes[at].does(&self.fleet, (VerbKind::Rotate, id), done);
    }

    /// Another writer has done this.
    fn done(&self, kind: VerbKind, id: KeyId, outcome: Result<(), StoreError>) {
        let outcome = match outcome {
            Ok(()) => VerbOutcome::Acknowledged(clocks::millis()),
            Err(_) => VerbOutcome::Failed,
        };
        let verb = Verb {
            kind,
            id,
            by: None,
            outcome,
        };
        self.fleet.history.lock().verbs.push(verb);
    }

    fn any_limit(&mut self) -> RateLimit {
        let (limit, window, burst) = LIMITS[self.rng.below(LIMITS.len() as u64) as usize];
        RateLimit::with_burst(limit, Millis::new(window), burst).unwrap()
    }

    fn has_limit(&self, id: &KeyId) -> bool {
        let written = self.fleet.database.written();
        let written = written.iter().rfind(|written| written.record.id == *id);
        written.is_some_and(|written| written.record.rate_limit.is_some())
    }
}
