//! Where the service counts rate limits, and what it does while it cannot.

use core::fmt;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use keystile::{Leases, Millis};
use keystile_store::{AuthenticatorBuilder, StoredLimits};

use crate::any_store::AnyStore;
use crate::duration;
use crate::failure::Failure;
use crate::store_url::StoreUrl;
use crate::values;

/// How many processes hold leases, unless --processes names another number.
const PROCESSES: u32 = 4;
/// The length of a lease, unless --lease names another one.
const LEASE: Millis = Millis::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct LimitsArguments {
    /// Where rate limits are counted: by each process for itself, so that n processes let up
    /// to n times a limit pass, or in the store, for all processes that use it.
    #[arg(long, value_enum, default_value = "process")]
    limits: Place,
    /// With --limits store: for how long a process may hold requests that it takes of a limit at
    /// once, 0s to 10s. With 0s, each request asks the store [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    lease: Option<Millis>,
    /// With --limits store: how many processes serve. Each takes no more at once than a quarter of
    /// a burst, divided by this [default: 4]
    #[arg(long, value_name = "N", value_parser = values::processes, allow_hyphen_values = true)]
    processes: Option<u32>,
    /// With --limits store: what is done while limits cannot be counted there. Requests of keys
    /// with a rate limit are refused with 503, or this process lets its share of each limit
    /// pass, one of N [default: refuse]
    #[arg(long, value_name = "refuse|share=N", value_parser = values::on_limits_loss, allow_hyphen_values = true)]
    on_limits_loss: Option<OnLoss>,
}

/// The place where rate limits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    Process,
    Store,
}

/// What is done with requests of keys that have a rate limit while it cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLoss {
    Refuse,
    /// This process has one of so many parts of each limit.
    Share(u32),
}

/// Where rate limits are counted, as the arguments have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedLimits {
    /// By each process for itself.
    Process,
    /// In the store, by leases.
    Store(Leases),
}

impl LimitsArguments {
    /// What the options say together.
    pub(super) fn checked(&self, store: &StoreUrl) -> Result<CountedLimits, Failure> {
        let shared = [
            (self.lease.is_some(), "--lease: needs --limits store"),
            (
                self.processes.is_some(),
                "--processes: needs --limits store",
            ),
            (
                self.on_limits_loss.is_some(),
                "--on-limits-loss: needs --limits store",
            ),
        ];
        match self.limits {
            Place::Process => match shared.iter().find(|(is_set, _)| *is_set) {
                Some((_, expected)) => Err(Failure::expected(expected)),
                None => Ok(CountedLimits::Process),
            },
            Place::Store if *store == StoreUrl::Memory => Err(Failure::expected(
                "--limits store: needs a store that other processes use, which memory: is not",
            )),
            Place::Store => self.leases().map(CountedLimits::Store),
        }
    }

    fn leases(&self) -> Result<Leases, Failure> {
        let length = self.lease.unwrap_or(LEASE);
        let leases = Leases::new(length, self.processes.unwrap_or(PROCESSES))
            .map_err(|_| Failure::expected("--lease: must be 0s to 10s"))?;
        match self.on_limits_loss {
            None | Some(OnLoss::Refuse) => Ok(leases),
            // More processes than shares would let more than the limit pass.
            Some(OnLoss::Share(parts)) if self.processes.is_some_and(|all| all > parts) => {
                Err(Failure::expected(
                    "--on-limits-loss: N of share=N must be at least that of --processes",
                ))
            }
            Some(OnLoss::Share(parts)) => leases
                .with_share(parts)
                .map_err(Failure::of("--on-limits-loss")),
        }
    }
}

impl CountedLimits {
    /// Counts the limits of this authenticator there.
    pub(super) fn of(
        self,
        builder: AuthenticatorBuilder<AnyStore>,
        store: &Arc<AnyStore>,
    ) -> AuthenticatorBuilder<AnyStore> {
        match self {
            Self::Process => builder,
            Self::Store(leases) => {
                let limits = StoredLimits::new(Arc::clone(store));
                builder.limits(Arc::new(limits)).leases(leases)
            }
        }
    }
}

/// For the line that a start prints.
impl fmt::Display for CountedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Store(leases) = self else {
            return f.write_str(
                "rate limits are counted by this process, and by each other process for itself",
            );
        };
        f.write_str("rate limits are counted in the store, for all processes")?;
        if leases.length() > Millis::ZERO {
            let length = duration::spell(leases.length());
            write!(
                f,
                ", with leases of {length} for {} processes",
                leases.processes()
            )?;
        }
        match leases.share() {
            None => f.write_str("; without it, keys with a rate limit get 503"),
            Some(parts) => write!(
                f,
                "; without it, this process lets one of {parts} parts of each limit pass"
            ),
        }
    }
}
