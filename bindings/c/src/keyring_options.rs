//! The options of a keyring, and its counters.

use core::ffi::c_void;

use keystile::{KeyringBuilder, Leases, Millis, Stats};

use crate::boundary::clock::since_start;
use crate::boundary::values::{Callback, Callbacks};
use crate::boundary::{begins_with_its_size, non_null};
use crate::error::Failure;
use crate::flags::flag;
use crate::status::keystile_status::{self, KEYSTILE_ERROR_VALUE};

/// Zero duration; 0 selects the default.
pub const KEYSTILE_DURATION_NONE: u64 = u64::MAX;

/// The options of a keyring. 0 selects the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_keyring_options {
    /// `sizeof(keystile_keyring_options)`.
    pub struct_size: usize,
    /// The most records that are cached: 1 to 100,000,000; by default 100,000.
    pub capacity: u64,
    /// How long a record is used before it is fetched again: 1 ms to a day; by default
    /// 300 s.
    pub ttl_millis: u64,
    /// How long a key that the store does not know is refused without another fetch: at
    /// most the TTL; by default 10 s, or the TTL if that is shorter.
    /// `KEYSTILE_DURATION_NONE` turns this off.
    pub absent_ttl_millis: u64,
    /// By how much the clock may go back before an expired key could be accepted again;
    /// by default 60 s. `KEYSTILE_DURATION_NONE` turns this off.
    pub clock_skew_millis: u64,
    /// Adds a reference to a value that `keystile_keyring_admit` was given: when the
    /// keyring keeps it, and before the keyring hands it out. NULL if the keyring carries no
    /// values.
    ///
    /// It and `release_value` are set together. They are called with values that are not
    /// NULL, on any thread and by several at once, exactly once for each reference; they must
    /// return normally, and must not call this keyring. A count that is atomic is enough.
    pub retain_value: Option<unsafe extern "C" fn(value: *mut c_void)>,
    /// Gives up a reference that `retain_value` added and that was not handed out: some
    /// time after the record was replaced, invalidated or evicted, and at the latest in
    /// `keystile_keyring_free`.
    pub release_value: Option<unsafe extern "C" fn(value: *mut c_void)>,
    /// 1: the library also reads the system's monotonic clock, not with each decision. Then
    /// what was seen to end stays ended for that version of the record, as long as it is
    /// cached and however far the clock of `now` is set back; a reading that the monotonic
    /// clock contradicts by more than a minute ends nothing.
    pub monotonic_clock: u8,
    /// Not 0: rate limits are counted in one place for several processes, and a check whose key
    /// has a rate limit may return `KEYSTILE_NEEDS_TOKENS`. Tokens are leased for this long, 1 ms
    /// to 10 s, a second as a rule: in any time T, at most burst + limit * (T + this) / window
    /// requests pass in all processes, if no more hold leases than `lease_processes`.
    /// `KEYSTILE_DURATION_NONE`: each request takes a token of
    /// its own. 0: the keyring counts its limits itself.
    pub lease_millis: u64,
    /// How many processes hold leases at once, 1 to 100,000; by default 4. A ticket asks
    /// for no more tokens than, divided by four times this, the limit lets pass in
    /// `lease_millis`, or a burst if that is less; but for one at least.
    pub lease_processes: u32,
    /// By how many processes a limit is divided while tokens cannot be taken, 1 to 100,000: as
    /// many as there are at most. 0: then no request passes.
    pub lease_share: u32,
}

begins_with_its_size!(keystile_keyring_options, grew at monotonic_clock, lease_millis);

/// Counters of a keyring.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_keyring_stats {
    /// `sizeof(keystile_keyring_stats)`.
    pub struct_size: usize,
    /// Records that are cached.
    pub entries: u64,
    /// Checks that asked for a record.
    pub fetches: u64,
    /// Fetches that an invalidation overtook and that had to be repeated.
    pub overtaken: u64,
    /// Records that were evicted to make room.
    pub evictions: u64,
    /// Invalidations of ids, owners and everything.
    pub invalidations: u64,
    /// Checks that were refused because the store recently did not know the key.
    pub absent_hits: u64,
    /// Uses that were lost because they were not drained in time.
    pub uses_lost: u64,
    /// Written versions that were forgotten before the TTL was over, because there were more
    /// than 65,536; see `keystile_keyring_invalidate_at`.
    pub versions_lost: u64,
    /// States of rate limits that were forgotten before their limits were full again, because
    /// there were more than twice the capacity: each of these keys may be given one burst more,
    /// unless the store knows the state.
    pub limits_lost: u64,
    /// Checks that were refused with `KEYSTILE_CAUSE_STORE_UNAVAILABLE` because the uses of
    /// twice as many lineages as the capacity were not drained and written yet.
    pub lineages_refused: u64,
    /// Tokens of shared limits that were taken.
    pub tokens_taken: u64,
    /// Tokens that `keystile_keyring_rest` has returned.
    pub tokens_returned: u64,
    /// Tokens that were neither used nor returned, because more leases than 65,536 were to be.
    pub tokens_lost: u64,
    /// Checks that were refused by a shared limit's answer of shortly before.
    pub refused_from_memory: u64,
    /// Checks that were decided while tokens could not be taken.
    pub degraded: u64,
}

begins_with_its_size!(keystile_keyring_stats, grew at versions_lost, tokens_taken);

impl keystile_keyring_options {
    /// The builder with these options, and the callbacks for values.
    pub(crate) fn applied_to(
        &self,
        mut builder: KeyringBuilder,
    ) -> Result<(KeyringBuilder, Option<Callbacks>), Failure> {
        if let Some(capacity) = default_for_0(self.capacity) {
            builder = builder.capacity(usize::try_from(capacity).unwrap_or(usize::MAX));
        }
        if let Some(ttl) = default_for_0(self.ttl_millis) {
            builder = builder.ttl(Millis::new(ttl));
        }
        if let Some(ttl) = default_for_0(self.absent_ttl_millis) {
            builder = builder.absent_ttl(millis_or_zero(ttl));
        }
        if let Some(skew) = default_for_0(self.clock_skew_millis) {
            builder = builder.clock_skew(millis_or_zero(skew));
        }
        if flag(self.monotonic_clock, "monotonic_clock")? {
            builder = builder.monotonic_clock(monotonic_clock);
        }
        if let Some(leases) = self.leases()? {
            builder = builder.shared_limits(leases);
        }
        let callbacks = both_or_none(self.retain_value, self.release_value)?;
        Ok((builder, callbacks))
    }
}

impl keystile_keyring_options {
    /// How tokens are taken, if limits are shared.
    fn leases(&self) -> Result<Option<Leases>, Failure> {
        let Some(length) = default_for_0(self.lease_millis) else {
            if (self.lease_processes, self.lease_share) != (0, 0) {
                let expected = "processes that share limits must be set with lease_millis";
                return Err(Failure::new(KEYSTILE_ERROR_VALUE, expected).in_field("lease_millis"));
            }
            return Ok(None);
        };
        let processes = match self.lease_processes {
            0 => Leases::default().processes(),
            processes => processes,
        };
        let leases = Leases::new(millis_or_zero(length), processes)?;
        Ok(Some(match self.lease_share {
            0 => leases,
            processes => leases.with_share(processes)?,
        }))
    }
}

impl keystile_keyring_stats {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            entries: u64::try_from(stats.entries).unwrap_or(u64::MAX),
            fetches: stats.fetches,
            overtaken: stats.overtaken,
            evictions: stats.evictions,
            invalidations: stats.invalidations,
            absent_hits: stats.absent_hits,
            uses_lost: stats.uses_lost,
            versions_lost: stats.versions_lost,
            limits_lost: stats.limits_lost,
            lineages_refused: stats.lineages_refused,
            tokens_taken: stats.tokens_taken,
            tokens_returned: stats.tokens_returned,
            tokens_lost: stats.tokens_lost,
            refused_from_memory: stats.refused_from_memory,
            degraded: stats.degraded,
        }
    }
}

fn both_or_none(
    retain: Option<Callback>,
    release: Option<Callback>,
) -> Result<Option<Callbacks>, keystile_status> {
    match (retain, release) {
        (None, None) => Ok(None),
        (retain, release) => Ok(Some(Callbacks {
            retain: non_null(retain)?,
            release: non_null(release)?,
        })),
    }
}

fn monotonic_clock() -> Millis {
    Millis::new(u64::try_from(since_start().as_millis()).unwrap_or(u64::MAX))
}

fn default_for_0(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

const fn millis_or_zero(millis: u64) -> Millis {
    match millis {
        KEYSTILE_DURATION_NONE => Millis::ZERO,
        millis => Millis::new(millis),
    }
}
