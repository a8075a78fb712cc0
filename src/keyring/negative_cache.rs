//! The negative cache: keys that a store did not know, for a short time and in limited space.

use core::hash::{BuildHasher, Hash};
use std::boxed::Box;

use super::invalidation::Invalidations;
use super::sizes::{ABSENT_BUCKETS, ABSENT_KEYS, by_hash};
use super::sync::{Mutex, lock};
use super::tag::Tag;
use crate::key::id::KeyId;
use crate::time::{Millis, UnixMillis};

/// Some keys under one lock.
type Bucket = Mutex<[Option<NegativeEntry>; ABSENT_KEYS]>;

/// What is remembered of a refused key: 4,096 of them in all, about 320 KiB.
///
/// A flood of invented keys overwrites older invented keys here and nothing else.
pub(super) struct NegativeCache<S> {
    hasher: S,
    ttl: Millis,
    buckets: Box<[Bucket]>,
}

#[derive(Clone, Copy)]
struct NegativeEntry {
    /// The id that the key claimed, for [`NegativeCache::forget`].
    id: Option<KeyId>,
    tag: Tag,
    cause: NegativeCause,
    as_of: u64,
    until: UnixMillis,
}

/// Why a key was refused by what a store answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NegativeCause {
    Unknown,
    WrongSecret,
    PepperUnavailable,
}

impl<S: BuildHasher> NegativeCache<S> {
    pub(super) fn new(hasher: S, ttl: Millis) -> Self {
        let bucket = || Mutex::new([None; ABSENT_KEYS]);
        Self {
            hasher,
            ttl,
            buckets: (0..ABSENT_BUCKETS).map(|_| bucket()).collect(),
        }
    }

    /// What a store last answered for this very text, while it is valid.
    pub(super) fn find(
        &self,
        id: Option<KeyId>,
        tag: &Tag,
        invalidations: &Invalidations,
        now: UnixMillis,
    ) -> Option<NegativeCause> {
        let bucket = lock(self.bucket(id, tag)?);
        bucket.iter().flatten().find_map(|absent| {
            // An opaque key has no id to be forgotten by: any change may be its issue.
            let holds = match absent.id {
                Some(_) => invalidations.is_current(None, absent.as_of),
                None => invalidations.now() == absent.as_of,
            };
            let same = absent.id == id && absent.tag.is(tag);
            let left = absent.until.since(now);
            // If the clock stepped back, more is left than ever was.
            let fresh = left > Millis::ZERO && left <= self.ttl;
            (same && holds && fresh).then_some(absent.cause)
        })
    }

    /// Remembers a refused key, instead of the one that ends first.
    pub(super) fn remember(
        &self,
        id: Option<KeyId>,
        tag: Tag,
        cause: NegativeCause,
        as_of: u64,
        now: UnixMillis,
    ) {
        let (Some(bucket), Ok(until)) = (self.bucket(id, &tag), now.plus(self.ttl)) else {
            return;
        };
        let mut bucket = lock(bucket);
        let ends = |absent: &Option<NegativeEntry>| absent.map(|absent| absent.until);
        if let Some(slot) = bucket.iter_mut().min_by_key(|absent| ends(absent)) {
            *slot = Some(NegativeEntry {
                id,
                tag,
                cause,
                as_of,
                until,
            });
        }
    }

    /// Forgets what is remembered of an id: it may have been issued.
    pub(super) fn forget(&self, id: &KeyId) {
        let hash = self.hasher.hash_one(id);
        if let Some(bucket) = self.bucket_of(hash) {
            for slot in lock(bucket).iter_mut() {
                slot.take_if(|absent| absent.id == Some(*id));
            }
        }
    }

    fn bucket(&self, id: Option<KeyId>, tag: &Tag) -> Option<&Bucket> {
        fn hash<S: BuildHasher>(hasher: &S, what: impl Hash) -> u64 {
            hasher.hash_one(what)
        }
        self.bucket_of(match id {
            Some(id) => hash(&self.hasher, id),
            None => hash(&self.hasher, tag.to_bits()),
        })
    }

    fn bucket_of(&self, hash: u64) -> Option<&Bucket> {
        by_hash(&self.buckets, hash)
    }
}
