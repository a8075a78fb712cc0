//! A keyring with a store, which counts the fetches.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use keystile::{
    Cause, Check, Decision, Denial, KeyId, KeyRecord, Keyring, KeyringBuilder, Lookup, Request,
    UnixMillis,
};

use crate::common::service::Service;

/// Fetches after which a caller gives up.
const ROUNDS: u32 = 1_000;

pub(crate) struct KeyringWithStore {
    pub(crate) keyring: Keyring,
    records: Mutex<HashMap<KeyId, KeyRecord>>,
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
            keyring: set_up(builder).build().unwrap(),
            records: Mutex::new(HashMap::new()),
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

    /// A complete request, with as many fetches as it takes.
    pub(crate) fn ask(&self, text: &str, request: &Request<'_>, now: UnixMillis) -> Decision {
        let mut check = self.keyring.check(text.as_bytes(), request, now);
        for _ in 0..ROUNDS {
            match check {
                Check::Decided(decision) => return decision,
                Check::NeedsRecord(ticket) => {
                    let record = self.fetch(ticket.lookup());
                    check = self.keyring.admit(ticket, record.as_ref(), now);
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
            Check::Decided(decision) => Some(decision),
            Check::NeedsRecord(_) => None,
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
