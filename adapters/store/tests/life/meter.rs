//! A rate limit in whole numbers: the instant to which a lineage has spent, as an interval if
//! the specification leaves a choice.

/// Parts of a millisecond. Each limit that is issued divides it, so an interval between two
/// requests is a whole number of parts.
pub(crate) const PARTS: u128 = 420;
/// Limits that divide `PARTS`.
pub(crate) const COUNTS: [u32; 7] = [1, 2, 3, 5, 7, 10, 60];
/// How far ahead of the clock a stored state may be, beyond its own limit, before it counts as
/// that of a wrong clock.
const SLACK_MILLIS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) count: u32,
    pub(crate) window: u64,
    pub(crate) burst: u32,
}

impl Limit {
    /// The time from one request to the next in steady traffic.
    fn interval(self) -> u128 {
        u128::from(self.window) * PARTS / u128::from(self.count)
    }

    pub(crate) fn reach(self) -> u128 {
        if self.count == 0 {
            return 0;
        }
        u128::from(self.burst) * self.interval()
    }

    fn denies_all(self) -> bool {
        self.count == 0 || self.burst == 0
    }
}

/// The instant at which all that was spent is free again, at least `low` and at most `high`.
/// They are equal as long as one counter decides and the clock runs forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    pub(crate) low: u128,
    pub(crate) high: u128,
    /// By which limit it was counted last. `None`: by none, or that is not known.
    pub(crate) limit: Option<Limit>,
    /// Whether it was counted by several limits in turn.
    pub(crate) is_mixed: bool,
    /// How far the clock was behind its latest reading at most since a request was counted: a
    /// process records a state once, by its caller's clock.
    pub(crate) behind: u64,
    /// Whether a request was counted since the state was last recorded for certain.
    pub(crate) is_due: bool,
}

/// The times that a counter may judge a request by: its caller's clock, up to the latest reading
/// that it may have seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
    /// How far the caller's clock is behind its latest reading.
    pub(crate) behind: u64,
    pub(crate) is_stores: bool,
}

impl Clock {
    fn slack_millis(self) -> u64 {
        if self.is_stores { SLACK_MILLIS } else { 0 }
    }
}

/// What may happen to a request.
pub(crate) struct Judged {
    pub(crate) passed: Option<Meter>,
    pub(crate) refused: Option<Meter>,
    /// Milliseconds after which one request would pass, if it is refused and this is certain.
    pub(crate) retry_after: Option<u64>,
    /// Requests that would pass at once after this one, if it passes and this is certain.
    pub(crate) left: Option<u128>,
}

impl Meter {
    /// Whether it can be told to the last part what was spent.
    fn is_exact(&self, clock: Clock) -> bool {
        self.low == self.high && clock.earliest == clock.latest
    }

    /// The same state, counted by `limit` from now on.
    fn under(mut self, limit: Limit, clock: Clock) -> Self {
        let [earliest, latest] = [clock.earliest, clock.latest].map(parts);
        let is_unused = self.high == 0;
        if !is_unused && self.limit != Some(limit) {
            if self.is_mixed || self.limit.is_none() {
                // Each limit of a lineage counts all of its requests, or only its own keys':
                // "a changed limit costs at most one burst".
                (self.low, self.high) = (0, latest + limit.reach());
            } else {
                // The fraction of a millisecond has another denominator.
                self.low = self.low.saturating_sub(PARTS);
                self.high += PARTS;
            }
        }
        self.limit = Some(limit);
        // A state that is further ahead than its limit allows counts as one burst. A store leaves
        // the readers of its clock a minute, since they may come in another order.
        let slack = clock.slack_millis();
        let is_legal = self.high <= earliest + limit.reach() + parts(slack);
        if slack == 0 || !is_legal {
            self.low = self.low.min(earliest + limit.reach());
            self.high = self.high.min(latest + limit.reach() + parts(slack));
        }
        self
    }

    pub(crate) fn judge(self, limit: Limit, clock: Clock) -> Judged {
        if limit.denies_all() {
            return Judged {
                passed: None,
                refused: Some(self),
                retry_after: None,
                left: None,
            };
        }
        let [earliest, latest] = [clock.earliest, clock.latest].map(parts);
        let (reach, interval) = (limit.reach(), limit.interval());
        let before = self.under(limit, clock);
        let may_pass = before.low.max(latest) + interval <= latest + reach;
        let must_pass = before.high.max(earliest) + interval <= earliest + reach;
        let passed = may_pass.then(|| Self {
            low: before.low.max(earliest) + interval,
            high: before.high.max(latest).min(latest + reach - interval) + interval,
            behind: clock.behind,
            is_due: true,
            ..before
        });
        let refused = (!must_pass).then(|| Self {
            low: before.low.max(earliest + reach - interval + 1),
            high: before.high.max(earliest + reach - interval + 1),
            ..before
        });
        let is_exact = before.is_exact(clock);
        let wait = (before.low.max(earliest) + interval).saturating_sub(earliest + reach);
        let spent = before.low.max(earliest) + interval - earliest;
        Judged {
            passed,
            refused,
            retry_after: is_exact.then(|| u64::try_from(wait.div_ceil(PARTS)).unwrap()),
            left: is_exact.then(|| reach.saturating_sub(spent) / interval),
        }
    }

    /// Either of two meters.
    pub(crate) fn or(self, other: Self) -> Self {
        let is_same = self.limit == other.limit;
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            limit: self.limit.filter(|_| is_same),
            is_mixed: self.is_mixed || other.is_mixed || !is_same,
            behind: self.behind.max(other.behind),
            is_due: self.is_due && other.is_due,
        }
    }

    /// What the store has after a process may have written `noted`, and surely has if
    /// `is_certain`. "Of two states the store keeps the greater one", unless its own is that of a
    /// wrong clock.
    pub(crate) fn noted(mut self, noted: &Self, is_certain: bool, now: u64) -> Self {
        let reach = noted.limit.map_or(0, Limit::reach);
        let low = noted.low.saturating_sub(parts(noted.behind));
        if self.high > parts(now) + reach + parts(SLACK_MILLIS) {
            self.low = self.low.min(low);
        } else if is_certain {
            self.low = self.low.max(low);
        }
        if self.high > 0 && self.limit != noted.limit {
            self.low = self.low.saturating_sub(PARTS);
            self.high += PARTS;
        }
        self.high = self.high.max(noted.high);
        self.limit = noted.limit;
        self.is_mixed |= noted.is_mixed;
        self
    }
}

pub(crate) fn parts(millis: u64) -> u128 {
    u128::from(millis) * PARTS
}
