//! How a keyring takes tokens of limits that several processes share.

use crate::error::{Error, ErrorKind};
use crate::policy::rate_limit::RateLimit;
use crate::time::Millis;

use super::lease::TOKENS_MAX;

/// The longest lease.
const LENGTH_MAX: Millis = Millis::from_secs(10);
/// The most processes.
const PROCESSES_MAX: u32 = 100_000;

/// How a keyring takes tokens of rate limits that are counted in one place for several
/// processes; see [`KeyringBuilder::shared_limits`](super::KeyringBuilder::shared_limits).
///
/// With leases of a length L, at most `burst + limit × (T + L) / window` requests of a lineage
/// pass in any time T in all processes together, if no more processes hold leases than are named
/// here, and if each asks for one key's tokens once at a time. A request that waited for a token
/// counts at the instant at which that was granted. Of the tokens that are free some may be
/// refused to one process because others hold them, at most a quarter of a burst. The default is
/// a length of 1 s for 4 processes.
///
/// ```
/// use keystile::{Leases, Millis};
/// let leases = Leases::new(Millis::new(500), 8)?.with_share(8)?;
/// assert_eq!((leases.length(), leases.processes()), (Millis::new(500), 8));
/// assert_eq!(leases.share(), Some(8));
/// assert!(Leases::new(Millis::from_secs(11), 8).is_err(), "longer than 10 s");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leases {
    length: Millis,
    processes: u32,
    share: Option<u32>,
}

impl Leases {
    /// Leases of a length of 0 to 10 s; with 0, each request takes a token of its own. For how
    /// many tokens a process asks at once, see [`tokens_at_once`](Self::tokens_at_once).
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the length is out of its range, or the processes are not 1 to
    /// 100,000.
    pub fn new(length: Millis, processes: u32) -> Result<Self, Error> {
        if length > LENGTH_MAX {
            let expected = "a lease's length must be 0 to 10 s";
            return Err(Error::new(ErrorKind::Limit, expected).in_field("leases.length"));
        }
        Ok(Self {
            length,
            processes: counted(processes, "leases.processes")?,
            share: None,
        })
    }

    /// While the tokens cannot be taken, this process lets pass its [share](RateLimit::share) of
    /// each limit, the limit divided by `processes`: as many as there are at most, or the limit
    /// is not kept. Without this, it lets nothing pass then.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the processes are not 1 to 100,000.
    pub fn with_share(self, processes: u32) -> Result<Self, Error> {
        let share = Some(counted(processes, "leases.share")?);
        Ok(Self { share, ..self })
    }

    /// The length L of the bound: for how long tokens are [used](Self::usable) and for how long
    /// they are [taken back](Self::within), together.
    #[must_use]
    pub const fn length(&self) -> Millis {
        self.length
    }

    /// For how long tokens may be used, from before they were asked for: three eighths of the
    /// length.
    #[must_use]
    pub const fn usable(&self) -> Millis {
        Millis::new(self.length.get().saturating_mul(3) / 8)
    }

    /// For how long after they were taken unused tokens are taken back, by the clock of the
    /// limits: the other five eighths.
    #[must_use]
    pub const fn within(&self) -> Millis {
        Millis::new(self.length.get().saturating_sub(self.usable().get()))
    }

    /// How many processes hold tokens at once.
    #[must_use]
    pub const fn processes(&self) -> u32 {
        self.processes
    }

    /// By how many processes a limit is divided while tokens cannot be taken.
    #[must_use]
    pub const fn share(&self) -> Option<u32> {
        self.share
    }

    /// The most tokens of a limit that a ticket asks for: what the limit lets pass in a length,
    /// or a quarter of a burst if that is less, for each of the processes. A process holds the
    /// tokens of at most two leases of a key at once, and a lineage has two keys at most while one
    /// replaces the other. So all processes together hold no more than the limit lets pass in a
    /// length, which the bound adds. At least 1, which the request that asks uses itself.
    ///
    /// ```
    /// use keystile::{Leases, Millis, RateLimit};
    /// let leases = Leases::new(Millis::from_secs(1), 4)?;
    /// let fast = RateLimit::new(1_600, Millis::from_secs(1))?;
    /// assert_eq!(leases.tokens_at_once(&fast), 100);
    /// let hourly = RateLimit::new(1_600, Millis::from_hours(1))?;
    /// assert_eq!(leases.tokens_at_once(&hourly), 1, "it lets less than one pass in a second");
    /// # Ok::<(), keystile::Error>(())
    /// ```
    #[must_use]
    pub fn tokens_at_once(&self, limit: &RateLimit) -> u32 {
        if self.usable() == Millis::ZERO {
            return 1;
        }
        let holders = u64::from(self.processes).saturating_mul(4);
        let window = limit.window().get().saturating_mul(holders);
        let passing = u64::from(limit.limit()).saturating_mul(self.length.get());
        let passing = passing.checked_div(window).unwrap_or(1);
        let part = u64::from(limit.burst()).checked_div(holders).unwrap_or(1);
        let most = passing.min(part).clamp(1, TOKENS_MAX.into());
        u32::try_from(most).unwrap_or(TOKENS_MAX)
    }

    /// The part of a limit that this process may use by itself.
    pub(super) fn share_of(&self, limit: &RateLimit) -> Option<RateLimit> {
        limit.share(self.share?)
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            length: Millis::from_secs(1),
            processes: 4,
            share: None,
        }
    }
}

fn counted(processes: u32, field: &'static str) -> Result<u32, Error> {
    if (1..=PROCESSES_MAX).contains(&processes) {
        return Ok(processes);
    }
    let expected = "a number of processes must be 1 to 100000";
    Err(Error::new(ErrorKind::Limit, expected).in_field(field))
}
