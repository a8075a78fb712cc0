//! Where the service counts rate limits, and what it does while it cannot.

use core::fmt;
#[cfg(feature = "redis")]
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use keystile::{Leases, Millis};
use keystile_store::{AuthenticatorBuilder, Limits, StoredLimits};

use crate::any_store::AnyStore;
use crate::duration;
use crate::failure::Failure;
use crate::io::Io;
use crate::store_url::StoreUrl;
use crate::values;

#[cfg(feature = "redis")]
use super::redis::RedisUrl;

/// How many processes hold leases, unless --processes names another number.
const PROCESSES: u32 = 4;
/// The length of a lease, unless --lease names another one.
const LEASE: Millis = Millis::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct LimitsArguments {
    /// Where rate limits are counted: by each process for itself, so that n processes let up
    /// to n times a limit pass, or for all processes in the store, or on a Redis server
    /// [default: process, or redis if --redis is set]
    #[arg(long, value_enum)]
    limits: Option<Place>,
    /// The Redis or Valkey server that counts rate limits for all processes, by default
    /// KEYSTILE_REDIS_URL: redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS.
    #[cfg(feature = "redis")]
    #[arg(
        long,
        value_name = "URL",
        env = "KEYSTILE_REDIS_URL",
        hide_env = true,
        value_parser = RedisUrl::parse
    )]
    redis: Option<RedisUrl>,
    /// A file whose one line is the URL of --redis.
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    redis_file: Option<PathBuf>,
    /// For how long a process may hold requests that it takes of a shared limit at once, 0s to
    /// 10s. With 0s, each request is counted by itself [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    lease: Option<Millis>,
    /// How many processes share the limits. Each takes at once, divided by four times this, what
    /// the limit lets pass in --lease, or a burst if that is less [default: 4]
    #[arg(long, value_name = "N", value_parser = values::processes, allow_hyphen_values = true)]
    processes: Option<u32>,
    /// What is done while shared limits cannot be counted. Requests of keys with a rate limit
    /// are refused with 503, or this process lets its share of each limit pass, one of N
    /// [default: refuse]
    #[arg(
        long,
        visible_alias = "on-redis-loss",
        value_name = "refuse|share=N",
        value_parser = values::on_limits_loss,
        allow_hyphen_values = true
    )]
    on_limits_loss: Option<OnLoss>,
}

/// The place where rate limits are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Place {
    Process,
    Store,
    #[cfg(feature = "redis")]
    Redis,
}

/// What is done with requests of keys that have a rate limit while it cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLoss {
    Refuse,
    /// This process has one of so many parts of each limit.
    Share(u32),
}

/// Where rate limits are counted, as the arguments have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CountedLimits {
    /// By each process for itself.
    Process,
    /// In the store, by leases.
    Store(Leases),
    /// On a Redis server, by leases.
    #[cfg(feature = "redis")]
    Redis(RedisUrl, Leases),
}

impl LimitsArguments {
    /// What the options say together.
    pub(super) fn checked(&self, store: &StoreUrl) -> Result<CountedLimits, Failure> {
        #[cfg(feature = "redis")]
        if let Some(url) = self.redis_url()? {
            return match self.limits {
                None | Some(Place::Redis) => Ok(CountedLimits::Redis(url, self.leases()?)),
                Some(Place::Process | Place::Store) => Err(Failure::expected(
                    "--limits: must be redis if --redis, --redis-file or KEYSTILE_REDIS_URL is set",
                )),
            };
        }
        match self.limits.unwrap_or(Place::Process) {
            Place::Process => self.for_itself(),
            Place::Store if *store == StoreUrl::Memory => Err(Failure::expected(
                "--limits store: needs a store that other processes use, which memory: is not",
            )),
            Place::Store => self.leases().map(CountedLimits::Store),
            #[cfg(feature = "redis")]
            Place::Redis => Err(Failure::expected(
                "--limits redis: needs --redis, --redis-file or KEYSTILE_REDIS_URL",
            )),
        }
    }

    #[cfg(feature = "redis")]
    fn redis_url(&self) -> Result<Option<RedisUrl>, Failure> {
        match (&self.redis, &self.redis_file) {
            (Some(_), Some(_)) => Err(Failure::expected(
                "--redis-file: must not be set beside --redis or KEYSTILE_REDIS_URL",
            )),
            (None, Some(path)) => RedisUrl::read(path).map(Some),
            (url, None) => Ok(url.clone()),
        }
    }

    fn for_itself(&self) -> Result<CountedLimits, Failure> {
        let unused = if self.lease.is_some() {
            "--lease: needs --limits store or redis"
        } else if self.processes.is_some() {
            "--processes: needs --limits store or redis"
        } else if self.on_limits_loss.is_some() {
            "--on-limits-loss: needs --limits store or redis"
        } else {
            return Ok(CountedLimits::Process);
        };
        Err(Failure::expected(unused))
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
    pub(super) async fn of(
        &self,
        builder: AuthenticatorBuilder<AnyStore>,
        store: &Arc<AnyStore>,
        io: &mut Io<'_>,
    ) -> Result<AuthenticatorBuilder<AnyStore>, Failure> {
        let (limits, leases): (Arc<dyn Limits>, _) = match self {
            Self::Process => return Ok(builder),
            Self::Store(leases) => (Arc::new(StoredLimits::new(Arc::clone(store))), leases),
            #[cfg(feature = "redis")]
            Self::Redis(url, leases) => (url.connect(io).await?, leases),
        };
        // Without Redis there is nothing to report.
        let _ = &io;
        Ok(builder.limits(limits).leases(*leases))
    }

    fn leases(&self) -> Option<(&'static str, &Leases)> {
        match self {
            Self::Process => None,
            Self::Store(leases) => Some(("in the store", leases)),
            #[cfg(feature = "redis")]
            Self::Redis(_, leases) => Some(("on the Redis server", leases)),
        }
    }
}

/// For the line that a start prints.
impl fmt::Display for CountedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((place, leases)) = self.leases() else {
            return f.write_str(
                "rate limits are counted by this process, and by each other process for itself",
            );
        };
        write!(f, "rate limits are counted {place}, for all processes")?;
        if leases.length() > Millis::ZERO {
            let length = duration::spell(leases.length());
            let processes = leases.processes();
            write!(f, ", with leases of {length} for {processes} processes")?;
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
