//! What happens to keys: they are issued, changed, replaced and ended, by keystile and by other
//! code.

use keystile::{
    EndpointRules, Event, EventKind, IssueRequest, KeyId, Millis, PepperRing, PermissionSet,
    RateLimit, RotationPolicy, UnixMillis,
};
use keystile_store::{Batch, Store, StoreError};

use crate::history::{Record, State};
use crate::meter::{COUNTS, Limit};
use crate::rights::{ENVIRONMENTS, GRANTS, NETWORKS, RULES, Rights};
use crate::world::World;

/// Keys that steps choose from; the oldest ones are left alone when there are more.
const KEYS_MAX: usize = 24;
const MINUTE: u64 = 60_000;
const DAY: u64 = 86_400_000;
const WINDOWS: [u64; 6] = [1_000, 777, 60_000, 60_007, 3_600_000, DAY];
const SPANS: [u64; 6] = [1, 700, 5_000, 90_000, 3 * 3_600_000, 4 * DAY];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Revoke,
    Suspend,
    Resume,
}

impl<S: Store + 'static> World<S> {
    /// One step.
    pub(crate) async fn next(&mut self) -> Result<(), String> {
        if self.pool.len() < 4 {
            return self.issue().await;
        }
        match self.rng.below(1_000) {
            0..700 => self.check().await,
            700..790 => {
                self.time_passes();
                Ok(())
            }
            790..840 => {
                self.step("settle".to_owned());
                self.settle().await;
                Ok(())
            }
            840..865 => self.issue().await,
            865..875 => self.verb(Verb::Revoke).await,
            875..890 => self.verb(Verb::Suspend).await,
            890..910 => self.verb(Verb::Resume).await,
            910..940 => self.rotate().await,
            940..960 => self.change().await,
            960..972 => self.change_by_sql().await,
            972..987 => self.audit().await,
            987..998 => {
                let (who, is_stopped) = (1 + self.rng.below(2) as usize, self.chance(60));
                self.step(format!("restart {who}, stopped: {is_stopped}"));
                self.restart(who, is_stopped).await;
                Ok(())
            }
            _ => {
                self.step("new pepper".to_owned());
                self.new_pepper().await;
                Ok(())
            }
        }
    }

    fn time_passes(&mut self) {
        // A deadline is met to the millisecond, or missed by one.
        let id = self.any_key().filter(|_| self.rng.below(4) == 0);
        let end = id.and_then(|id| self.oracle.current(&id)?.ends_at());
        let ahead = end.and_then(|end| end.checked_sub(self.oracle.now + self.rng.below(2)));
        if let Some(millis) = ahead
            && (millis < 3 * 3_600_000 || self.chance(5))
        {
            self.forward(millis);
            self.step(format!(
                "a key ends now, or in a millisecond, after {millis} ms"
            ));
            return;
        }
        let most = self.pick(&[2, 300, 2_000, 20_000, 10 * MINUTE, DAY]);
        let millis = 1 + self.rng.below(most);
        // Long jumps end most keys.
        if millis < MINUTE || self.chance(25) {
            if self.chance(15) {
                self.step_back(millis.min(20_000));
            } else {
                self.forward(millis);
            }
            self.step(format!("the clock shows this after {millis} ms"));
        }
    }

    fn draw_limit(&mut self) -> Limit {
        let count = self.pick(&COUNTS);
        Limit {
            count: if self.chance(2) { 0 } else { count },
            window: self.pick(&WINDOWS),
            burst: match self.rng.below(4) {
                0 => 1,
                1 => 2 * count,
                _ => count,
            },
        }
    }

    fn some_of<T: Copy>(&mut self, list: &[T], percent: u64) -> Vec<T> {
        let list = list.iter().copied();
        list.filter(|_| self.rng.below(100) < percent).collect()
    }

    async fn issue(&mut self) -> Result<(), String> {
        let networks: Vec<usize> = (0..NETWORKS.len()).collect();
        let environment = self.pick(&ENVIRONMENTS);
        let rights = Rights {
            environment: self.chance(50).then_some(environment),
            permissions: self.some_of(&GRANTS, 35),
            endpoints: self.chance(40).then(|| self.some_of(&RULES, 40)),
            networks: self.chance(30).then(|| self.some_of(&networks, 60)),
        };
        let limit = self.chance(65).then(|| self.draw_limit());
        let uses = self.chance(25).then(|| 1 + self.rng.below(12));
        let lifetime = self.chance(60).then(|| self.pick(&SPANS) * 20);
        let mut request = IssueRequest::new("Acme")
            .and_then(|request| request.environment(rights.environment))
            .and_then(|request| request.permissions(&rights.permissions))
            .and_then(|request| request.uses(uses))
            .unwrap();
        if let Some(rules) = &rights.endpoints {
            request = request.endpoints(rules).unwrap();
        }
        if let Some(networks) = &rights.networks {
            let texts = networks.iter().map(|at| NETWORKS[*at].0);
            request = request.networks(texts).unwrap();
        }
        request = request.rate_limit(limit.map(rate_limit));
        request = match lifetime {
            Some(lifetime) => request.expires_in(Millis::new(lifetime)).unwrap(),
            None => request.never_expires(),
        };
        let none = PepperRing::none();
        let is_peppered = self.chance(70);
        let peppers = if is_peppered { &self.peppers } else { &none };
        let now = UnixMillis::new(self.oracle.now).unwrap();
        let issued = keystile::issue(&self.format, peppers, &request, &mut self.rng, now).unwrap();
        let saved = keystile_store::save_issued(&*self.store, &issued).await;
        saved.map_err(|error| error.to_string())?;
        let record = Record {
            rights,
            limit,
            state: State::Active,
            expires_at: lifetime.map(|lifetime| self.oracle.now + lifetime),
            replaced_by: None,
            overlap_until: None,
            ends_at_first_use: None,
        };
        let id = issued.record.id;
        self.step(format!("issue {id} {record:?} uses {uses:?}"));
        let text = issued.key.expose().to_owned();
        self.oracle.issued(id, id, text, record, uses);
        self.adds(id);
        Ok(())
    }

    fn adds(&mut self, id: KeyId) {
        self.pool.push(id);
        if self.pool.len() > KEYS_MAX {
            self.pool.remove(0);
        }
    }

    /// A key of the pool that is not deleted, its record, and who acts.
    fn subject(&mut self) -> Option<(KeyId, Record, usize)> {
        let id = self.any_key()?;
        let record = self.oracle.current(&id)?.clone();
        Some((id, record, self.rng.below(3) as usize))
    }

    async fn verb(&mut self, verb: Verb) -> Result<(), String> {
        let Some((id, mut record, by)) = self.subject() else {
            return Ok(());
        };
        self.step(format!("{verb:?} {id} by {by}"));
        let (store, now) = (&*self.store, self.now());
        let outcome = match (by, verb) {
            (0, Verb::Revoke) => keystile_store::revoke(store, &id, "leaked", now).await,
            (0, Verb::Suspend) => keystile_store::suspend(store, &id, now).await,
            (0, Verb::Resume) => keystile_store::resume(store, &id, now).await,
            (_, Verb::Revoke) => self.authenticator(by).revoke(&id, "leaked", now).await,
            (_, Verb::Suspend) => self.authenticator(by).suspend(&id, now).await,
            (_, Verb::Resume) => self.authenticator(by).resume(&id, now).await,
        };
        // A revocation is final, and repeating it changes nothing.
        let is_legal = record.state != State::Revoked || verb == Verb::Revoke;
        if outcome.is_ok() != is_legal {
            return Err(format!("{outcome:?} for {record:?}"));
        }
        if is_legal {
            record.state = match verb {
                Verb::Revoke => State::Revoked,
                Verb::Suspend => State::Suspended,
                Verb::Resume => State::Active,
            };
            self.oracle.changed(&id, Some(record), by);
        }
        Ok(())
    }

    async fn rotate(&mut self) -> Result<(), String> {
        let Some((id, mut record, by)) = self.subject() else {
            return Ok(());
        };
        let (now, overlap) = (self.oracle.now, self.pick(&[0, 0, 800, 5_000, MINUTE, DAY]));
        let ends_on_first_use = self.chance(40);
        self.step(format!(
            "rotate {id} by {by}, overlap {overlap}, ends on first use: {ends_on_first_use}"
        ));
        let policy = RotationPolicy::default()
            .with_overlap(Millis::new(overlap))
            .unwrap()
            .with_end_on_first_use(ends_on_first_use);
        let (at, format) = (self.now(), Some(&self.format));
        let rotated = if by == 0 {
            let (store, peppers, rng) = (&*self.store, &self.peppers, &mut self.rng);
            keystile_store::rotate(store, &id, &policy, format, peppers, rng, at).await
        } else {
            let mut rng = crate::test_rng::TestRng::seeded(self.rng.next_u64());
            let process = self.authenticator(by);
            process.rotate(&id, &policy, format, &mut rng, at).await
        };
        let is_over = record.ends_at().is_some_and(|end| now >= end);
        let is_legal = record.state == State::Active
            && (record.replaced_by.is_none() || self.has_lost_its_successor(&id, &record))
            && !is_over;
        if rotated.is_ok() != is_legal {
            return Err(format!("{:?} for {record:?}", rotated.err()));
        }
        let Ok(rotated) = rotated else { return Ok(()) };
        let successor = Record {
            // As long as its predecessor was given, which the model does not follow.
            expires_at: rotated.successor.expires_at.map(UnixMillis::get),
            replaced_by: None,
            overlap_until: None,
            ends_at_first_use: ends_on_first_use.then_some(id),
            ..record.clone()
        };
        // "At most half of the successor's lifetime", and of the greatest age, is used; and no
        // overlap is prolonged.
        let life = successor.expires_at.map_or(u64::MAX, |end| end - now);
        let overlap = overlap.min(life.min(90 * DAY) / 2);
        let end = (now + overlap).min(record.ends_at().unwrap_or(u64::MAX));
        record.replaced_by = Some(rotated.successor.id);
        record.overlap_until = Some(end);
        record.ends_at_first_use = None;
        self.oracle.changed(&id, Some(record), by);
        // "At most two live keys in a lineage": an older one ends now.
        for older in self.oracle.siblings(&id) {
            let Some(mut older_record) = self.oracle.current(&older).cloned() else {
                continue;
            };
            if older_record.state != State::Revoked && !older_record.is_over(now) {
                older_record.overlap_until = Some(now);
                self.oracle.changed(&older, Some(older_record), by);
            }
        }
        let text = rotated.key.expose().to_owned();
        let (id, lineage) = (rotated.successor.id, rotated.successor.lineage);
        self.step(format!("successor {id}"));
        self.oracle.issued(id, lineage, text, successor, None);
        self.adds(id);
        Ok(())
    }

    /// Whether the successor of a key was revoked, and no other key of the lineage is the newest.
    fn has_lost_its_successor(&self, id: &KeyId, record: &Record) -> bool {
        let current = |id: &KeyId| self.oracle.current(id);
        let is_revoked = |id: &KeyId| current(id).is_some_and(|key| key.state == State::Revoked);
        let is_newest = |key: &Record| {
            let ended = key.state == State::Revoked || key.is_over(self.oracle.now);
            key.replaced_by.is_none() && !ended
        };
        let others = self.oracle.siblings(id);
        let mut others = others
            .iter()
            .filter(|other| *other != id)
            .filter_map(current);
        record.replaced_by.as_ref().is_some_and(is_revoked) && !others.any(is_newest)
    }

    /// A whole record is written with its event, as by an admin's own program.
    async fn change(&mut self) -> Result<(), String> {
        let Some((id, mut record, _)) = self.subject() else {
            return Ok(());
        };
        if record.state == State::Revoked {
            return Ok(());
        }
        match self.rng.below(4) {
            0 => record.rights.permissions = self.some_of(&record.rights.permissions.clone(), 60),
            1 => record.expires_at = Some(self.oracle.now + self.pick(&SPANS)),
            // Of keys of one lineage with different limits the store has one state, and the oracle
            // has no rule for what a second limit makes of it.
            2 if self.oracle.siblings(&id).is_empty() => {
                record.limit = self.chance(80).then(|| self.draw_limit())
            }
            _ => record.rights.endpoints = Some(self.some_of(&RULES, 50)),
        }
        self.step(format!("change {id} to {record:?}"));
        loop {
            let mut written = self.find(&id).await?.ok_or("no record")?;
            written.permissions = PermissionSet::new(&record.rights.permissions).unwrap();
            let rules = record.rights.endpoints.as_ref();
            written.allowed_endpoints = rules.map(|rules| EndpointRules::new(rules).unwrap());
            written.rate_limit = record.limit.map(rate_limit);
            let end = record.expires_at;
            written.expires_at = end.map(|end| UnixMillis::new(end).unwrap());
            written.version += 1;
            let event = Event::new(EventKind::Changed, id, self.now());
            let event = event.with_version(written.version);
            let mut batch = Batch::new();
            batch.updates.push(written);
            batch.events.push(event);
            match self.store.commit(&batch).await {
                // A process renews digests after uses.
                Err(StoreError::Stale) => {}
                committed => break committed.map_err(|error| error.to_string())?,
            }
        }
        self.oracle.changed(&id, Some(record), 0);
        Ok(())
    }

    /// A row is changed by code that knows only the table.
    async fn change_by_sql(&mut self) -> Result<(), String> {
        let Some((id, mut record, _)) = self.subject() else {
            return Ok(());
        };
        let now = self.oracle.now;
        let Some(sql) = &self.sql else {
            return Ok(());
        };
        let lineage = self.oracle.keys[&id].lineage;
        let (statement, after) = match self.rng.below(6) {
            0 => {
                record.rights.permissions = Vec::from(["read"]);
                let set = "UPDATE api_keys SET permissions = '[\"read\"]'";
                (format!("{set} WHERE key_id = '{id}'"), Some(record))
            }
            1 => {
                record.expires_at = Some(now + 4_000);
                let (seconds, millis) = ((now + 4_000) / 1_000, (now + 4_000) % 1_000);
                let text = format!(
                    "strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch') || '.{millis:03}Z'"
                );
                let set = format!("UPDATE api_keys SET expires_at = {text}");
                (format!("{set} WHERE key_id = '{id}'"), Some(record))
            }
            2 => {
                // In the row of a suspended key it is false already.
                if record.state == State::Active {
                    record.state = State::Revoked;
                }
                let set = "UPDATE api_keys SET is_active = FALSE";
                (format!("{set} WHERE key_id = '{id}'"), Some(record))
            }
            3 => (format!("DELETE FROM api_keys WHERE key_id = '{id}'"), None),
            _ => {
                if self.oracle.uses(&id).is_none() {
                    return Ok(());
                }
                let uses = self.rng.below(6);
                self.oracle.set_uses(&id, uses);
                let set = format!("UPDATE api_key_usage SET remaining_uses = {uses}");
                (format!("{set} WHERE lineage = '{lineage}'"), Some(record))
            }
        };
        // A revoked key stays as it is, whoever writes.
        let done = sql.execute_batch(&statement);
        self.step(format!("{statement}: {done:?}"));
        done.map_err(|error| error.to_string())?;
        self.oracle.changed(&id, after, 0);
        Ok(())
    }
}

fn rate_limit(limit: Limit) -> RateLimit {
    RateLimit::with_burst(limit.count, Millis::new(limit.window), limit.burst).unwrap()
}
