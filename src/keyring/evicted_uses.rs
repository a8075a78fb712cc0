//! Uses of keys that are cached no more, kept until they are drained.

use std::collections::HashMap;
use std::vec::Vec;

use super::Use;
use super::count::{StripePool, Stripes};
use super::sync::{Hashing, Mutex, lock};
use crate::key::id::KeyId;

/// The uses of evicted keys, of as many as can be cached at most. Of keys whose uses are counted
/// there are four times as many besides: two live keys of each lineage that has a meter.
pub(super) struct EvictedUses {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    uses: HashMap<KeyId, Use, Hashing>,
    /// Keys in whose stripes a late thread may still count; no more than there are stripes.
    striped: Vec<(Use, Stripes)>,
}

impl EvictedUses {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            kept: Mutex::new(Kept::default()),
        }
    }

    /// Keeps the uses of an evicted key; the answer is how many are lost for want of room.
    #[must_use]
    pub(super) fn keep(&self, used: Use, is_counted: bool, stripes: Stripes) -> u64 {
        let mut kept = lock(&self.kept);
        if stripes != Stripes::NONE {
            kept.striped.push((used, stripes));
        }
        if used.count == 0 {
            return 0;
        }
        if let Some(known) = kept.uses.get_mut(&used.key_id) {
            known.count = known.count.saturating_add(used.count);
            known.last_used_at = known.last_used_at.max(used.last_used_at);
            known.rate = known.rate.max(used.rate);
            known.reach = used.reach;
            return 0;
        }
        let most = if is_counted {
            self.capacity.saturating_mul(5)
        } else {
            self.capacity
        };
        if kept.uses.len() >= most {
            return used.count;
        }
        kept.uses.insert(used.key_id, used);
        0
    }

    /// The stripes that a key had when it was evicted: its new entry counts in them too.
    pub(super) fn reclaim(&self, id: &KeyId) -> Stripes {
        let striped = &mut lock(&self.kept).striped;
        let at = striped.iter().position(|(used, _)| used.key_id == *id);
        at.map_or(Stripes::NONE, |at| striped.swap_remove(at).1)
    }

    /// Takes all uses that are kept.
    pub(super) fn drain(&self, pool: &StripePool) -> Vec<Use> {
        let mut kept = lock(&self.kept);
        let late = kept.striped.iter().filter_map(|(used, stripes)| {
            let count = pool.take(*stripes);
            (count > 0).then_some(Use { count, ..*used })
        });
        let late: Vec<Use> = late.collect();
        core::mem::take(&mut kept.uses)
            .into_values()
            .chain(late)
            .collect()
    }
}
