//! How a keyring is set up.

use super::count::StripePool;
use super::evicted_uses::EvictedUses;
use super::invalidation::Invalidations;
use super::limits::Limits;
use super::lineages::Lineages;
use super::map::Map;
use super::monotonic::Monotonic;
use super::negative_cache::NegativeCache;
use super::second_chance::SecondChance;
use super::sizes::LOCKS;
use super::sync::atomic::AtomicU64;
use super::sync::{Hashing, Mutex};
use super::tag::Tagger;
use super::unused_tokens::Held;
use super::versions::Versions;
use super::{Counters, Keyring, Leases};
use crate::decision::rate_limit_fields::RateLimitFields;
use crate::decision::response_policy::ResponsePolicy;
use crate::decision::status_policy::StatusPolicy;
use crate::decision::verifier::Verifier;
use crate::error::{Error, ErrorKind};
use crate::time::Millis;

/// Longest time that a record may be used without asking again: a day.
const TTL_MAX: Millis = Millis::from_days(1);
/// Records that a keyring makes room for at the start. A map that has grown may be looked
/// through twice for each key until it has grown further.
const PRESIZED_MAX: usize = 100_000;
/// Most records that may be cached.
const CAPACITY_MAX: usize = 100_000_000;

/// How a [`Keyring`] is set up: 100,000 records, each used for 300 s; absent keys for
/// 10 s; a clock that steps back by up to 60 s revives nothing.
///
/// ```
/// use keystile::{Keyring, KeyFormat, Millis, Verifier};
/// let verifier = Verifier::new(KeyFormat::structured("acme")?);
/// let keyring = Keyring::builder(verifier.clone())
///     .capacity(1_000_000)
///     .ttl(Millis::from_secs(60))
///     .build()?;
/// assert_eq!(keyring.stats().entries, 0);
/// assert!(Keyring::builder(verifier).ttl(Millis::ZERO).build().is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyringBuilder {
    verifier: Verifier,
    capacity: usize,
    ttl: Millis,
    absent_ttl: Option<Millis>,
    responses: ResponsePolicy,
    clock_skew: Millis,
    monotonic: Option<fn() -> Millis>,
    leases: Option<Leases>,
}

impl KeyringBuilder {
    pub(super) const fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            capacity: 100_000,
            ttl: Millis::from_secs(300),
            absent_ttl: None,
            responses: ResponsePolicy::new(StatusPolicy::Rfc9110, RateLimitFields::Draft6),
            clock_skew: Millis::from_secs(60),
            monotonic: None,
            leases: None,
        }
    }

    /// Records that are cached at most: 1 to 100,000,000.
    ///
    /// What evicted keys have spent is remembered for twice as many lineages, and for twice as
    /// many single keys with a rate limit. If more lineages have made uses that are counted and
    /// that were not drained twice since, a key of a further lineage whose uses are counted, or
    /// that was rotated, is refused with [`Cause::StoreUnavailable`](crate::Cause): no use is
    /// given twice. [`Stats::lineages_refused`](super::Stats::lineages_refused) counts these. If
    /// more keys owe a rate limit something, the state of some is forgotten, which gives such a
    /// key one burst more; [`Stats::limits_lost`](super::Stats::limits_lost) counts these.
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        Self { capacity, ..self }
    }

    /// How long a record is used without asking again: 1 ms to a day.
    #[must_use]
    pub fn ttl(self, ttl: Millis) -> Self {
        Self { ttl, ..self }
    }

    /// How long a key that the store did not know is refused without asking again: no
    /// longer than [`ttl`](Self::ttl). By default 10 s, or the TTL if that is shorter.
    #[must_use]
    pub fn absent_ttl(self, absent_ttl: Millis) -> Self {
        Self {
            absent_ttl: Some(absent_ttl),
            ..self
        }
    }

    fn absent_ttl_or_default(&self) -> Millis {
        let usual = Millis::from_secs(10).min(self.ttl);
        self.absent_ttl.unwrap_or(usual)
    }

    /// The status that denials are answered with.
    #[must_use]
    pub fn status_policy(self, status_policy: StatusPolicy) -> Self {
        let responses = ResponsePolicy::new(status_policy, self.responses.rate_limit_fields);
        Self { responses, ..self }
    }

    /// The header fields that tell a client about its rate limit.
    #[must_use]
    pub fn rate_limit_fields(self, fields: RateLimitFields) -> Self {
        let responses = ResponsePolicy::new(self.responses.status, fields);
        Self { responses, ..self }
    }

    /// By how much the clock may step back without reviving what was seen expired. After
    /// a larger step the new time is used: the clock was wrong before. See also
    /// [`monotonic_clock`](Self::monotonic_clock).
    #[must_use]
    pub fn clock_skew(self, clock_skew: Millis) -> Self {
        Self { clock_skew, ..self }
    }

    /// A clock that is never set, such as the time since the machine was started. With one,
    /// what was seen to end stays ended for that version of the record, as long as it is
    /// cached and however far the clock is set back; without one, only within
    /// [`clock_skew`](Self::clock_skew).
    ///
    /// A reading of `now` that this clock contradicts by more than a minute ends nothing: a
    /// single wrong one must not end all keys. A clock that was set is believed once its
    /// readings have agreed with this one for a minute; so is the first one.
    ///
    /// It is read when a record is admitted and when a key is found to have ended, not with
    /// each decision.
    #[must_use]
    pub fn monotonic_clock(self, read: fn() -> Millis) -> Self {
        Self {
            monotonic: Some(read),
            ..self
        }
    }

    /// Rate limits are counted in one place for several processes, from which this keyring asks
    /// for tokens: then a check whose key has a rate limit can be answered with
    /// [`Check::NeedsTokens`](super::Check::NeedsTokens), after everything else was judged.
    /// Without this, it never is.
    ///
    /// Call [`Keyring::unused_tokens`] eight times in each length of a lease, and
    /// [`Keyring::all_unused_tokens`] before stopping. [`Use::rate`](super::Use::rate) is `None`
    /// then, since the state is kept elsewhere. Uses that are counted are counted as without it.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// # let format = KeyFormat::structured("acme")?;
    /// # let ten = RateLimit::new(10, Millis::from_secs(1))?;
    /// # let request = IssueRequest::new("Acme")?.rate_limit(ten);
    /// # let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
    /// let keyring = Keyring::builder(Verifier::new(format)).shared_limits(Leases::default()).build()?;
    /// let key = issued.key.expose().as_bytes();
    /// let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else { panic!() };
    /// let Check::NeedsTokens(ticket) = keyring.admit(ticket, Some(&issued.record), now) else {
    ///     panic!("its limit is counted elsewhere");
    /// };
    /// // There, other processes have taken all ten.
    /// let (_, spent) = ten.take(RateState::default(), now, 10);
    /// let refused = Grant::new(0, spent, now, now);
    /// let Check::Decided(decision, None) = keyring.grant(ticket, refused, now) else { panic!() };
    /// assert_eq!(decision.denial().unwrap().retry_after(), Some(Millis::new(100)));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn shared_limits(self, leases: Leases) -> Self {
        Self {
            leases: Some(leases),
            ..self
        }
    }

    /// The keyring.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the capacity or a time is out of its range, and
    /// [`ErrorKind::Randomness`] if the operating system gives no random key.
    pub fn build(self) -> Result<Keyring, Error> {
        self.build_with_values()
    }

    /// A keyring whose entries each carry a value of the caller's; see
    /// [`Keyring`](Keyring#values).
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with_values<T>(self) -> Result<Keyring<T>, Error> {
        let (field, expected) = if !(1..=CAPACITY_MAX).contains(&self.capacity) {
            ("capacity", "a keyring's capacity must be 1 to 100000000")
        } else if self.ttl == Millis::ZERO || self.ttl > TTL_MAX {
            ("ttl", "a keyring's TTL must be 1 ms to a day")
        } else if self.absent_ttl_or_default() > self.ttl {
            (
                "absent_ttl",
                "a keyring's TTL of absent keys must not be longer than its TTL",
            )
        } else {
            return self.set_up();
        };
        Err(Error::new(ErrorKind::Limit, expected).in_field(field))
    }

    fn set_up<T>(self) -> Result<Keyring<T>, Error> {
        let absent_ttl = self.absent_ttl_or_default();
        let hasher = Hashing::default();
        Ok(Keyring {
            verifier: self.verifier,
            responses: self.responses,
            ttl: self.ttl,
            absent_ttl,
            clock_skew: self.clock_skew,
            monotonic: self.monotonic.map(Monotonic::new),
            tagger: Tagger::random()?,
            entries: Map::with_capacity_and_hasher(self.capacity.min(PRESIZED_MAX), hasher.clone()),
            aliases: Map::with_hasher(hasher.clone()),
            invalidations: Invalidations::new(),
            versions: Versions::new(hasher.clone()),
            locks: (0..LOCKS).map(|_| Mutex::new(())).collect(),
            negative: NegativeCache::new(hasher.clone(), absent_ttl),
            slots: SecondChance::new(self.capacity),
            stripes: StripePool::new(),
            limits: Limits::new(hasher.clone()),
            lineages: Lineages::new(self.capacity),
            evicted_uses: EvictedUses::new(self.capacity),
            leases: self.leases,
            held: Held::new(hasher.clone()),
            hasher,
            latest: AtomicU64::new(0),
            set_back: AtomicU64::new(0),
            drains: AtomicU64::new(0),
            counters: Counters::default(),
        })
    }
}
