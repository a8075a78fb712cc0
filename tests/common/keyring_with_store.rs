//! A keyring with a store, which counts the fetches.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use keystile::{
    Cause, Check, Decision, Denial, Found, KeyId, KeyRecord, Keyring, KeyringBuilder, Lookup,
    Request, Ticket, UnixMillis, Usage,
};

use crate::common::service::Service;

/// Fetches after which a caller gives up.
const ROUNDS: u32 = 1_000;

/// A keyring whose entries carry their record, so that each decision can be compared with
/// the record that it was made on.
pub(crate) type Carrying = Keyring<Arc<KeyRecord>>;

pub(crate) struct KeyringWithStore {
    pub(crate) keyring: Carrying,
    records: Mutex<HashMap<KeyId, KeyRecord>>,
    /// What lineages have spent, if the store keeps it.
    usages: Mutex<HashMap<KeyId, Usage>>,
    fetches: AtomicU64,
}

impl KeyringWithStore {
    /// A keyring with default settings for the keys of a service.
    pub(crate) fn new(service: &Service) -> Self {
        Self::set_up(service, |builder| builder)
    }

    pub(crate) fn set_up(
        service: &Service,
        set_up: impl FnOnce(KeyringBuilder) -> KeyringBuilder,
    ) -> Self {
        let builder = Keyring::builder(service.verifier.clone());
        Self {
            keyring: set_up(builder).build_with_values().unwrap(),
            records: Mutex::new(HashMap::new()),
            usages: Mutex::new(HashMap::new()),
            fetches: AtomicU64::new(0),
        }
    }

    fn records(&self) -> MutexGuard<'_, HashMap<KeyId, KeyRecord>> {
        self.records.lock().unwrap()
    }

    /// Writes to the store only.
    pub(crate) fn put(&self, record: &KeyRecord) {
        self.records().insert(record.id, record.clone());
    }

    /// Writes what a lineage has spent to the store only.
    pub(crate) fn put_usage(&self, lineage: &KeyId, usage: Usage) {
        self.usages.lock().unwrap().insert(*lineage, usage);
    }

    /// Writes to the store and notifies the keyring.
    pub(crate) fn change(&self, record: &KeyRecord) {
        self.put(record);
        self.keyring.invalidate(&record.id);
    }

    pub(crate) fn remove(&self, id: &KeyId) {
        self.records().remove(id);
    }

    pub(crate) fn record(&self, id: &KeyId) -> KeyRecord {
        self.records()[id].clone()
    }

    /// The record in the store.
    pub(crate) fn fetch(&self, lookup: &Lookup) -> Option<KeyRecord> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let records = self.records();
        match lookup {
            Lookup::Id(id) => records.get(id).cloned(),
            Lookup::Digests(digests) => digests
                .iter()
                .find_map(|digest| records.values().find(|record| record.digest == *digest))
                .cloned(),
            _ => panic!("an unknown lookup"),
        }
    }

    /// How many fetches there were since the last call.
    pub(crate) fn fetches(&self) -> u64 {
        self.fetches.swap(0, Ordering::Relaxed)
    }

    /// Admits a record, with the record itself as the value.
    pub(crate) fn admit<'a>(
        &self,
        ticket: Ticket<'a>,
        record: Option<&KeyRecord>,
        now: UnixMillis,
    ) -> Check<'a, Arc<KeyRecord>> {
        let usages = self.usages.lock().unwrap().clone();
        let found = record.map(|record| {
            let usage = usages.get(&record.lineage).copied();
            Found::new(record)
                .with_usage(usage.unwrap_or(Usage::of(record)))
                .with_value(Arc::new(record.clone()))
        });
        self.keyring.admit_with(ticket, found, now)
    }

    /// A complete request, with as many fetches as it takes.
    pub(crate) fn ask(&self, text: &str, request: &Request<'_>, now: UnixMillis) -> Decision {
        let mut check = self.keyring.check(text.as_bytes(), request, now);
        for _ in 0..ROUNDS {
            match check {
                Check::Decided(decision, value) => return matched(decision, value.as_deref()),
                Check::NeedsTokens(_) => panic!("its limits are its own"),
                Check::NeedsRecord(ticket) => {
                    let record = self.fetch(ticket.lookup());
                    check = self.admit(ticket, record.as_ref(), now);
                }
            }
        }
        Decision::Deny(Denial::new(Cause::StoreUnavailable))
    }

    /// Whether a request that asks for nothing special is allowed.
    pub(crate) fn allows(&self, text: &str, now: UnixMillis) -> bool {
        self.ask(text, &Request::new(), now).is_allow()
    }

    /// Why such a request is refused.
    pub(crate) fn refuses(&self, text: &str, now: UnixMillis) -> Option<Cause> {
        let decision = self.ask(text, &Request::new(), now);
        decision.denial().map(Denial::cause)
    }

    /// The decision, if it takes no fetch.
    pub(crate) fn cached(&self, text: &str, now: UnixMillis) -> Option<Decision> {
        match self.keyring.check(text.as_bytes(), &Request::new(), now) {
            Check::Decided(decision, value) => Some(matched(decision, value.as_deref())),
            Check::NeedsRecord(_) | Check::NeedsTokens(_) => None,
        }
    }

    /// How many uses there were since the last drain, over all keys.
    pub(crate) fn drained(&self) -> u64 {
        self.keyring
            .drain_uses()
            .iter()
            .map(|used| used.count)
            .sum()
    }
}

/// The decision, whose value has to be the record that it was made on.
fn matched(decision: Decision, value: Option<&KeyRecord>) -> Decision {
    match (&decision, value) {
        (Decision::Allow(allowed), Some(record)) => {
            assert_eq!(
                (allowed.key_id, allowed.version, allowed.lineage),
                (record.id, record.version, record.lineage)
            );
        }
        (Decision::Deny(_), None) => {}
        (decision, value) => panic!("{decision:?} with {value:?}"),
    }
    decision
}
