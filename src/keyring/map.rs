//! The concurrent map; in a model, one that the checker sees publish what it holds.

#[cfg(keystile_loom)]
pub(super) use seen::Map;

use super::sync::Hashing;

/// A map that readers take no lock in.
#[cfg(not(keystile_loom))]
pub(super) type Map<K, V> = papaya::HashMap<K, V, Hashing>;

/// The checker does not see into the map. So each step is made one here: what is found in
/// the map was written before it was inserted.
#[cfg(keystile_loom)]
mod seen {
    use core::hash::Hash;

    use papaya::{HashMap, HashMapRef, LocalGuard};

    use super::Hashing;
    use crate::keyring::sync::atomic::{AtomicU64, Ordering};

    pub(in crate::keyring) struct Map<K, V> {
        map: HashMap<K, V, Hashing>,
        steps: AtomicU64,
    }

    pub(in crate::keyring) struct Pinned<'m, K, V> {
        map: HashMapRef<'m, K, V, Hashing, LocalGuard<'m>>,
        steps: &'m AtomicU64,
    }

    impl<K: Eq + Hash, V> Map<K, V> {
        pub(in crate::keyring) fn with_hasher(hashing: Hashing) -> Self {
            Self {
                map: HashMap::with_hasher(hashing),
                steps: AtomicU64::new(0),
            }
        }

        pub(in crate::keyring) fn with_capacity_and_hasher(_: usize, hashing: Hashing) -> Self {
            Self::with_hasher(hashing)
        }

        pub(in crate::keyring) fn pin(&self) -> Pinned<'_, K, V> {
            Pinned {
                map: self.map.pin(),
                steps: &self.steps,
            }
        }
    }

    impl<K: Eq + Hash, V> Pinned<'_, K, V> {
        pub(in crate::keyring) fn get(&self, key: &K) -> Option<&V> {
            self.step();
            self.map.get(key)
        }

        pub(in crate::keyring) fn get_key_value(&self, key: &K) -> Option<(&K, &V)> {
            self.step();
            self.map.get_key_value(key)
        }

        pub(in crate::keyring) fn insert(&self, key: K, value: V) {
            self.step();
            self.map.insert(key, value);
        }

        pub(in crate::keyring) fn remove(&self, key: &K) -> Option<&V> {
            self.step();
            self.map.remove(key)
        }

        fn step(&self) {
            self.steps.fetch_add(1, Ordering::AcqRel);
        }
    }
}
