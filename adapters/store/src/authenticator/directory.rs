//! The records behind the decisions, for whoever is allowed to know whose key it was.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use keystile::{KeyId, KeyRecord};

type Half = papaya::HashMap<KeyId, Arc<KeyRecord>, foldhash::fast::RandomState>;

/// Records that decisions were made on, about as many as the keyring caches.
///
/// A keyring keeps of a record what a decision reads. The names stand here, in two halves:
/// when the younger is full, the older one is emptied and becomes the younger. What is in
/// use moves along; what is not is forgotten. A decision names the version of its record,
/// and gets that one or none.
pub(super) struct Directory {
    halves: [Half; 2],
    younger: AtomicUsize,
    capacity: usize,
}

impl Directory {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            halves: [Half::default(), Half::default()],
            younger: AtomicUsize::new(0),
            capacity,
        }
    }

    /// The record of a key, if it is of this version.
    pub(super) fn find(&self, id: &KeyId, version: u64) -> Option<Arc<KeyRecord>> {
        let (_, younger, older) = self.halves();
        let found = younger.pin().get(id).cloned();
        let record = match found {
            Some(record) => record,
            None => {
                let record = older.pin().get(id).cloned()?;
                self.keep(Arc::clone(&record));
                record
            }
        };
        (record.version == version).then_some(record)
    }

    /// Keeps a record in the place of an earlier one.
    pub(super) fn keep(&self, record: Arc<KeyRecord>) {
        let (number, younger, older) = self.halves();
        younger.pin().insert(record.id, record);
        if younger.len() >= self.capacity {
            let order = Ordering::SeqCst;
            let turned = self
                .younger
                .compare_exchange(number, number ^ 1, order, order);
            if turned.is_ok() {
                older.pin().clear();
            }
        }
    }

    /// The number of the younger half, the younger and the older one.
    fn halves(&self) -> (usize, &Half, &Half) {
        let [even, odd] = &self.halves;
        match self.younger.load(Ordering::SeqCst) {
            0 => (0, even, odd),
            number => (number, odd, even),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keystile::{Digest, UnixMillis};

    fn record(number: u64, version: u64) -> Arc<KeyRecord> {
        let id = format!("1{number:015}").parse().unwrap();
        let mut record =
            KeyRecord::new(id, Digest::sha256(b"k"), "acme", "Acme", UnixMillis::MIN).unwrap();
        record.version = version;
        Arc::new(record)
    }

    #[test]
    fn a_record_of_another_version_is_none() {
        let directory = Directory::new(8);
        let [first, second] = [record(1, 1), record(1, 2)];
        directory.keep(Arc::clone(&first));
        assert!(directory.find(&first.id, 2).is_none(), "not yet");
        directory.keep(second);
        assert!(directory.find(&first.id, 1).is_none(), "no more");
        assert_eq!(directory.find(&first.id, 2).unwrap().version, 2);
    }

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_bounded() {
        let directory = Directory::new(100);
        let hot = record(0, 1);
        directory.keep(Arc::clone(&hot));
        for number in 1..10_000 {
            directory.keep(record(number, 1));
            assert!(directory.find(&hot.id, 1).is_some(), "used after {number}");
        }
        let held: usize = directory.halves.iter().map(papaya::HashMap::len).sum();
        assert!(held <= 200, "{held} records");
    }
}
