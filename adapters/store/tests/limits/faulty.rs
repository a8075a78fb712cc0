//! Limits with one chosen fault, over those in memory.

use std::collections::HashMap;
use std::sync::Mutex;

use keystile::{KeyId, Millis, RateLimit, RateState, UnixMillis};
use keystile_store::{Limits, LimitsFuture, MemoryLimits, Rest, StoreError, Take, Taken};

/// What is wrong with the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Has a burst of one more.
    GrantsOneMore,
    /// Grants what is asked for, or nothing.
    AllOrNothing,
    /// Takes one for a request of none.
    LookTakesOne,
    /// Reads a state and writes it later, whatever it is then.
    ReadsThenWrites,
    /// Counts by half of the window.
    TwiceAsFast,
    /// Takes nothing back.
    DropsRests,
    /// Takes back what is not in time.
    TakesBackLate,
    /// Grants what was given back beside the burst.
    OwesRests,
    /// Has one state for all lineages.
    OneForAll,
    /// Takes a limit of 0 for one of 1.
    ZeroIsOne,
    /// Grants 65,535 tokens at most.
    CountsInSixteenBits,
    /// Holds the one state of a lineage to whichever limit is asked for.
    HoldsToAnyLimit,
    /// Holds the one state of a lineage to no limit.
    HoldsToNoLimit,
}

pub(crate) struct Faulty {
    fault: Fault,
    sound: MemoryLimits,
    /// The states of faults that keep them.
    states: Mutex<HashMap<KeyId, RateState>>,
    owed: Mutex<HashMap<KeyId, u32>>,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            sound: MemoryLimits::new(),
            states: Mutex::default(),
            owed: Mutex::default(),
        }
    }

    fn altered(&self, mut take: Take) -> Take {
        let limit = take.limit;
        let (count, window, burst) = (limit.limit(), limit.window(), limit.burst());
        let other = match self.fault {
            Fault::GrantsOneMore => RateLimit::with_burst(count, window, burst + 1),
            Fault::TwiceAsFast => {
                RateLimit::with_burst(count, Millis::new(window.get() / 2), burst)
            }
            Fault::ZeroIsOne => RateLimit::with_burst(count.max(1), window, burst.max(1)),
            _ => Ok(limit),
        };
        take.limit = other.unwrap();
        match self.fault {
            Fault::LookTakesOne => take.tokens = take.tokens.max(1),
            Fault::CountsInSixteenBits => take.tokens = take.tokens.min(0xffff),
            Fault::OneForAll => take.lineage = "1AbCdEfGhIjKlMnO".parse().unwrap(),
            _ => {}
        }
        take
    }

    /// As a limiter that keeps one state for each lineage.
    async fn take_of_one(&self, take: &Take) -> Result<Taken, StoreError> {
        let stored = self.states.lock().unwrap().get(&take.lineage).copied();
        let (stored, now) = (stored.unwrap_or_default(), UnixMillis::now()?);
        let seen = match self.fault {
            Fault::HoldsToNoLimit => stored,
            _ => take.limit.clamped(stored, now),
        };
        let (tokens, after) = take.limit.take(seen, now, take.tokens);
        if self.fault == Fault::ReadsThenWrites {
            // Long enough for the other tasks to read the same.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        self.states.lock().unwrap().insert(take.lineage, after);
        Ok(Taken::new(tokens, after, now))
    }

    async fn take_now(&self, asked: &Take) -> Result<Taken, StoreError> {
        let mut take = self.altered(*asked);
        match self.fault {
            Fault::ReadsThenWrites | Fault::HoldsToAnyLimit | Fault::HoldsToNoLimit => {
                return self.take_of_one(&take).await;
            }
            Fault::AllOrNothing => {
                let look = Take::new(take.lineage, take.limit, 0);
                let seen = self.sound.take(&look).await?;
                if take.limit.quota(seen.state, seen.clock).remaining() < take.tokens {
                    return Ok(seen);
                }
            }
            _ => {}
        }
        let owed = self.owed.lock().unwrap().remove(&take.lineage);
        let owed = owed.unwrap_or(0).min(take.tokens);
        take.tokens -= owed;
        let mut taken = self.sound.take(&take).await?;
        taken.tokens = (taken.tokens + owed).min(asked.tokens);
        Ok(taken)
    }
}

impl Limits for Faulty {
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken> {
        Box::pin(self.take_now(take))
    }

    fn give_back<'a>(&'a self, rest: &'a [Rest]) -> LimitsFuture<'a, ()> {
        Box::pin(async move {
            for rest in rest {
                let mut rest = *rest;
                match self.fault {
                    Fault::DropsRests => continue,
                    Fault::TakesBackLate => {
                        (rest.taken_at, rest.within) =
                            (UnixMillis::MIN, Millis::from_days(365_000));
                    }
                    Fault::HoldsToAnyLimit => {
                        if let Some(state) = self.states.lock().unwrap().get_mut(&rest.lineage) {
                            *state = rest.limit.give_back(*state, rest.tokens);
                        }
                        continue;
                    }
                    Fault::OwesRests => {
                        *self.owed.lock().unwrap().entry(rest.lineage).or_default() += rest.tokens;
                        continue;
                    }
                    _ => {}
                }
                self.sound.give_back(&[rest]).await?;
            }
            Ok(())
        })
    }
}
