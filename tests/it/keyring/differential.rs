//! The keyring compared with the core: whatever happens to keys, in whatever order, a
//! request is decided as `verify` decides it with the same record and usage.
use std::collections::{HashMap, HashSet};

use crate::common::forged::with_wrong_secret;
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{
    Decision, Environment, KeyId, KeyRecord, Millis, RateLimit, Request, Requirement,
    RotationPolicy, Usage, end_overlap, rehash, resume, revoke, rotate, suspend,
};
use proptest::prelude::*;

/// Keys that are issued at the start.
const KEYS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// The key, and bits that select the request.
    Ask(usize, u16),
    /// The same by a clock that is behind for a moment.
    AskBehind(usize, u16, u64),
    AskWrong(usize),
    RaiseUses(usize),
    RaiseLimit(usize),
    Later(u64),
    Revoke(usize),
    Suspend(usize),
    Resume(usize),
    Rotate(usize, bool),
    EndOverlap(usize),
    Rehash(usize),
    TakePermissions(usize),
    Invalidate(usize),
    InvalidateOwner,
    InvalidateAll,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..2 * KEYS;
    prop_oneof![
        24 => (key.clone(), any::<u16>()).prop_map(|(key, bits)| Step::Ask(key, bits)),
        3 => (key.clone(), any::<u16>(), 1..60_000u64)
            .prop_map(|(key, bits, millis)| Step::AskBehind(key, bits, millis)),
        2 => key.clone().prop_map(Step::AskWrong),
        1 => key.clone().prop_map(Step::RaiseUses),
        1 => key.clone().prop_map(Step::RaiseLimit),
        4 => prop_oneof![1..3_000u64, 1..400_000u64].prop_map(Step::Later),
        1 => key.clone().prop_map(Step::Revoke),
        1 => key.clone().prop_map(Step::Suspend),
        1 => key.clone().prop_map(Step::Resume),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, end)| Step::Rotate(key, end)),
        1 => key.clone().prop_map(Step::EndOverlap),
        1 => key.clone().prop_map(Step::Rehash),
        1 => key.clone().prop_map(Step::TakePermissions),
        1 => key.prop_map(Step::Invalidate),
        1 => Just(Step::InvalidateOwner),
        1 => Just(Step::InvalidateAll),
    ]
}

struct Harness {
    service: Service,
    backed: KeyringWithStore,
    keys: Vec<(String, KeyId)>,
    /// What each lineage has spent, as a store used with the core would keep it.
    usage: HashMap<KeyId, Usage>,
    /// Lineages whose limit was raised: once, since a keyring remembers what was spent by a
    /// limit that comes back.
    raised: HashSet<KeyId>,
    now: u64,
}

impl Harness {
    fn new(mut service: Service, kinds: &[u8], capacity: usize) -> Self {
        let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(capacity));
        let mut harness = Self {
            keys: Vec::new(),
            usage: HashMap::new(),
            raised: HashSet::new(),
            now: 1,
            backed,
            service: Service::structured(),
        };
        for kind in kinds {
            let mut request = client().owner("tenant 7").unwrap();
            if kind & 1 > 0 {
                let limit = RateLimit::new(3, Millis::from_secs(10)).unwrap();
                request = request.rate_limit(limit);
            }
            if kind & 2 > 0 {
                request = request.uses(6).unwrap();
            }
            if kind & 4 > 0 {
                request = request.endpoints(["GET /api/data/*"]).unwrap();
            }
            if kind & 8 > 0 {
                request = request.networks(["192.0.2.0/24"]).unwrap();
            }
            request = request
                .expires_in(Millis::from_secs(if kind & 16 > 0 { 600 } else { 86_400 }))
                .unwrap();
            let issued = service.issue(&request);
            harness
                .usage
                .insert(issued.record.id, Usage::of(&issued.record));
            harness.add(issued.key.expose(), &issued.record);
        }
        harness.service = service;
        harness
    }

    fn add(&mut self, text: &str, record: &KeyRecord) {
        self.backed.put(record);
        self.keys.push((text.to_owned(), record.id));
    }

    fn record(&self, key: usize) -> KeyRecord {
        self.backed.record(&self.keys[key % self.keys.len()].1)
    }

    fn take(&mut self, step: &Step) {
        let now = at(self.now);
        match *step {
            Step::Ask(key, bits) => self.ask(key, bits, 0),
            Step::AskBehind(key, bits, millis) => self.ask(key, bits, millis.min(self.now)),
            Step::RaiseUses(key) => self.raise_uses(key),
            Step::RaiseLimit(key) => self.raise_limit(key),
            Step::AskWrong(key) => {
                let text = with_wrong_secret(&self.keys[key % self.keys.len()].0);
                let record = self.record(key);
                let mut usage = Usage::of(&record);
                let request = Request::new();
                let expected =
                    self.service
                        .ask(text.as_bytes(), Some(&record), &request, &mut usage, now);
                assert_eq!(self.backed.ask(&text, &request, now), expected);
            }
            Step::Later(millis) => {
                self.write_uses();
                self.now += millis;
            }
            Step::Revoke(key) => {
                let revoked = revoke(&self.record(key), "", now);
                self.change(revoked.ok().map(|change| change.record));
            }
            Step::Suspend(key) => {
                let suspended = suspend(&self.record(key), now);
                self.change(suspended.ok().map(|change| change.record));
            }
            Step::Resume(key) => {
                let resumed = resume(&self.record(key), now);
                self.change(resumed.ok().map(|change| change.record));
            }
            Step::Rotate(key, end_on_first_use) => self.rotate(key, end_on_first_use),
            Step::EndOverlap(key) => {
                let successor = self.record(key);
                let Some(old) = successor.ends_at_first_use else {
                    return;
                };
                for record in end_overlap(&self.backed.record(&old), &successor, now)
                    .into_iter()
                    .flatten()
                {
                    self.change(Some(record));
                }
            }
            Step::Rehash(key) => {
                let text = self.keys[key % self.keys.len()].0.clone();
                let key_text = self.service.verifier.parse(text.as_bytes()).unwrap();
                let peppers = self.service.verifier.peppers();
                let rehashed = rehash(&self.record(key), &key_text, peppers, now);
                self.change(rehashed.ok().map(|change| change.record));
            }
            Step::TakePermissions(key) => {
                let mut record = self.record(key);
                record.permissions = keystile::PermissionSet::new(["invoices:*"]).unwrap();
                record.version += 1;
                self.change(Some(record));
            }
            Step::Invalidate(key) => self.backed.keyring.invalidate(&self.record(key).id),
            Step::InvalidateOwner => self.backed.keyring.invalidate_owner("tenant 7"),
            Step::InvalidateAll => self.backed.keyring.invalidate_all(),
        }
    }

    fn change(&self, record: Option<KeyRecord>) {
        if let Some(record) = record {
            self.backed.change(&record);
        }
    }

    fn rotate(&mut self, key: usize, end_on_first_use: bool) {
        if self.keys.len() >= 2 * KEYS {
            return;
        }
        let policy = RotationPolicy::default()
            .with_overlap(Millis::from_secs(20))
            .and_then(|policy| policy.with_max_age(Millis::from_hours(24)))
            .unwrap()
            .with_end_on_first_use(end_on_first_use);
        let (format, peppers) = (self.service.format.clone(), self.service.verifier.peppers());
        let peppers = peppers.clone();
        let record = self.record(key);
        let siblings: Vec<_> = (0..self.keys.len())
            .map(|key| self.record(key))
            .filter(|sibling| sibling.lineage == record.lineage)
            .collect();
        let rng = &mut self.service.rng;
        let rotated = rotate(
            &record,
            &siblings,
            &policy,
            &format,
            &peppers,
            rng,
            at(self.now),
        );
        if let Ok(rotated) = rotated {
            let text = rotated.key.expose().to_owned();
            self.add(&text, &rotated.successor);
            self.change(Some(rotated.successor));
            for record in rotated.changed {
                self.change(Some(record));
            }
        }
    }

    /// The keys of a key's lineage, and itself first.
    fn lineage(&self, key: usize) -> Vec<usize> {
        let key = key % self.keys.len();
        let lineage = self.record(key).lineage;
        let others = (0..self.keys.len()).filter(|other| *other != key);
        let others = others.filter(|other| self.record(*other).lineage == lineage);
        core::iter::once(key).chain(others).collect()
    }

    /// Raises the count in the store, which knows of all uses, and shows it to the keyring.
    fn raise_uses(&mut self, key: usize) {
        self.write_uses();
        self.write_uses();
        for (at, key) in self.lineage(key).into_iter().enumerate() {
            let mut record = self.record(key);
            let Some(left) = record.remaining_uses else {
                return;
            };
            record.remaining_uses = Some(left + 3);
            if at == 0 {
                record.version += 1;
                self.usage.get_mut(&record.lineage).unwrap().remaining = record.remaining_uses;
                self.change(Some(record));
            } else {
                self.backed.put(&record);
            }
        }
        self.ask(key, 0, 0);
    }

    fn raise_limit(&mut self, key: usize) {
        let lineage = self.record(key).lineage;
        if !self.raised.insert(lineage) {
            return;
        }
        let limit = RateLimit::new(8, Millis::from_secs(9)).unwrap();
        for key in self.lineage(key) {
            let mut record = self.record(key);
            if record.rate_limit.is_some() {
                record.rate_limit = Some(limit);
                record.version += 1;
                self.change(Some(record));
                let usage = self.usage.get_mut(&lineage).unwrap();
                usage.rate = limit.clamped(usage.rate, at(self.now));
                self.ask(key, 0, 0);
            }
        }
    }

    fn ask(&mut self, key: usize, bits: u16, behind: u64) {
        let (text, id) = &self.keys[key % self.keys.len()];
        let record = self.backed.record(id);
        let read = Requirement::parse(if bits & 1 > 0 { "read" } else { "invoices:pay" }).unwrap();
        let live = Environment::new(if bits & 2 > 0 { "live" } else { "test" }).unwrap();
        let mut request = Request::new();
        if bits & 4 > 0 {
            request = request.requires(&read);
        }
        if bits & 24 == 24 {
            request = request.environment(&live);
        }
        if bits & 32 == 0 {
            let path = ["/api/data/1", "/api/data/", "/api/data/1/2", "/api/../x"];
            request = request.endpoint("GET", path[usize::from(bits >> 6 & 3)]);
        }
        if bits & 256 == 0 {
            let address = ["192.0.2.1", "192.0.3.1"][usize::from(bits >> 9 & 3 == 3)];
            request = request.address(address.parse::<core::net::IpAddr>().unwrap());
        }
        let usage = self.usage.get_mut(&record.lineage).unwrap();
        let now = at(self.now);
        let expected = self
            .service
            .ask(text.as_bytes(), Some(&record), &request, usage, now);
        if behind > 0 {
            // The later reading has to be seen first, by a check that spends nothing.
            let more = Requirement::parse("payroll:pay").unwrap();
            let more = Request::new().requires(&more);
            let _ = self.backed.keyring.check(text.as_bytes(), &more, now);
        }
        let decision = self.backed.ask(text, &request, at(self.now - behind));
        if behind == 0 {
            assert_eq!(decision, expected);
        } else {
            assert_eq!(outline(&decision), outline(&expected));
        }
    }

    /// Writes the uses back, as a service does every few seconds, and compares their
    /// number with what was allowed.
    fn write_uses(&mut self) {
        for used in self.backed.keyring.drain_uses() {
            for key in 0..self.keys.len() {
                let mut record = self.record(key);
                if record.lineage == used.lineage {
                    record.remaining_uses = record
                        .remaining_uses
                        .map(|left| left.checked_sub(used.count).unwrap());
                    self.backed.put(&record);
                }
            }
        }
        for key in 0..self.keys.len() {
            let record = self.record(key);
            let usage = self.usage[&record.lineage];
            assert_eq!(
                record.remaining_uses, usage.remaining,
                "uses were lost or counted twice"
            );
        }
    }
}

/// A decision without the instant that it was made at.
fn outline(decision: &Decision) -> String {
    match decision {
        Decision::Allow(allowed) => {
            let quota = allowed
                .quota
                .map(|quota| (quota.remaining(), quota.reset()));
            format!("{quota:?} {:?}", allowed.remaining_uses)
        }
        Decision::Deny(denial) => {
            let quota = denial.quota().map(|quota| quota.retry_after());
            format!("{:?} {quota:?}", denial.cause())
        }
    }
}

fn play(service: Service, kinds: &[u8], capacity: usize, steps: &[Step]) {
    let mut harness = Harness::new(service, kinds, capacity);
    for (count, step) in steps.iter().enumerate() {
        harness.take(step);
        // A step evicts at most one key, and the uses of as many keys as are cached are
        // kept.
        if count % KEYS == KEYS - 1 {
            harness.write_uses();
        }
    }
    harness.write_uses();
    assert_eq!(harness.backed.keyring.stats().uses_lost, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn a_request_is_decided_as_the_core_decides_it(
        which in 0..4usize,
        kinds in prop::collection::vec(0..32u8, KEYS),
        steps in prop::collection::vec(step(), 1..120),
        roomy in any::<bool>(),
    ) {
        let (_, service) = Service::all().into_iter().nth(which).unwrap();
        play(service, &kinds, if roomy { 100 } else { KEYS }, &steps);
    }
}

#[test]
fn the_comparison_would_find_a_difference() {
    // The control: the store is changed without notifying the keyring.
    let mut harness = Harness::new(Service::structured(), &[0], 10);
    harness.take(&Step::Ask(0, 0));
    let revoked = revoke(&harness.record(0), "", at(1)).unwrap().record;
    harness.backed.put(&revoked);
    let text = harness.keys[0].0.clone();
    assert!(matches!(
        harness.backed.ask(&text, &Request::new(), at(1)),
        Decision::Allow(_)
    ));
    let caught = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        harness.take(&Step::Ask(0, 0));
    }));
    assert!(caught.is_err());
}
