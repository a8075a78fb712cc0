//! Rate limits that are counted on a server.

use core::fmt;

use futures_util::future::join_all;
use keystile::KeyId;
use keystile_store::{Limits, LimitsFuture, Rest, StoreError, Take, Taken};
use redis::{FromRedisValue, Value};

use crate::connection::Repeat;
use crate::fault::Fault;
use crate::link::Link;
use crate::options::RedisOptions;
use crate::script::{Call, Counting, taken};

/// How the servers' field begins that names what they remove if their memory is full.
const POLICY_FIELD: &str = "maxmemory_policy:";
/// The policy that removes nothing.
const NO_EVICTION: &str = "noeviction";
/// How much is given back at the same time.
const RETURNED_AT_ONCE: usize = 64;

/// Rate limits that all processes of a service count on one Redis or Valkey server, or on a
/// cluster, by its clock.
///
/// A call that fails, or that is not answered in time, lets nothing pass. A connection that is
/// lost is made again in the background; meanwhile calls fail.
///
/// ```no_run
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use keystile::{Millis, RateLimit};
/// use keystile_redis::{RedisLimits, RedisOptions};
/// use keystile_store::{Limits, Take};
///
/// let limits = RedisLimits::connect(RedisOptions::new("redis://127.0.0.1")?).await?;
/// let lineage = "1AbCdEfGhIjKlMnO".parse()?;
/// let hourly = RateLimit::new(1, Millis::from_hours(1))?;
/// assert_eq!(limits.take(&Take::new(lineage, hourly, 1)).await?.tokens, 1);
/// let refused = limits.take(&Take::new(lineage, hourly, 1)).await?;
/// assert_eq!(refused.tokens, 0, "in this process and in all others");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct RedisLimits {
    link: Link,
    counting: Counting,
    prefix: String,
}

impl RedisLimits {
    /// Connects, and fails if the server cannot be used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with a kind that says what to do about it, without the
    /// password; also outside of a tokio runtime, which needs its timer and its I/O.
    pub async fn connect(options: RedisOptions) -> Result<Self, StoreError> {
        let limits = Self::open(options)?;
        limits.link.connected().await?;
        let probe = Call::probe(format!("{}:{{probe}}:l", limits.prefix));
        limits.run(&probe, Repeat::Allowed).await?;
        Ok(limits)
    }

    /// Starts to connect, and does not wait for it. Calls wait for the first attempt, and fail
    /// while the server cannot be used.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the root certificates cannot be read, or outside of a tokio
    /// runtime.
    pub fn open(options: RedisOptions) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::open(&options)?,
            counting: Counting::new(),
            prefix: options.prefix,
        })
    }

    /// The `maxmemory-policy` of the server if it may remove the state of a limit that is in use,
    /// which lets one burst more pass each time. `None` if it removes nothing, or if the server's
    /// user may not know it.
    pub async fn eviction_policy(&self) -> Option<String> {
        let mut command = redis::cmd("INFO");
        command.arg("memory");
        let answer = self.link.call(&command, Repeat::Allowed).await.ok()?;
        // A cluster has one text for each server.
        let texts = match answer {
            Value::Map(servers) => servers.into_iter().map(|(_, text)| text).collect(),
            text => vec![text],
        };
        let texts = texts.into_iter().flat_map(String::from_redis_value);
        let policy = |text: String| {
            let policy = text
                .lines()
                .find_map(|line| line.strip_prefix(POLICY_FIELD));
            policy.map(|policy| policy.trim().to_owned())
        };
        texts
            .filter_map(policy)
            .find(|policy| policy != NO_EVICTION)
    }

    /// The braces keep all names of a lineage on one server of a cluster.
    fn key(&self, lineage: &KeyId) -> String {
        format!("{}:{{{lineage}}}:l", self.prefix)
    }

    async fn run(&self, call: &Call, repeat: Repeat) -> Result<Value, Fault> {
        let command = self.counting.by_hash(call);
        match self.link.call(&command, repeat).await {
            // It was restarted, or is another one.
            Err(Fault::NoScript) => self.link.call(&call.by_text(), repeat).await,
            done => done,
        }
    }
}

impl Limits for RedisLimits {
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken> {
        Box::pin(async {
            let call = Call::take(self.key(&take.lineage), take);
            // Repeated, it can only take more than is used.
            let answer = self.run(&call, Repeat::Allowed).await?;
            Ok(taken(answer, take.tokens)?)
        })
    }

    fn give_back<'a>(&'a self, rests: &'a [Rest]) -> LimitsFuture<'a, ()> {
        Box::pin(async {
            // A part of the places at a time, so that requests need not wait for them.
            for rests in rests.chunks(RETURNED_AT_ONCE) {
                let calls = rests
                    .iter()
                    .filter(|rest| rest.tokens > 0)
                    .map(async |rest| {
                        let call = Call::give_back(self.key(&rest.lineage), rest);
                        self.run(&call, Repeat::Never).await
                    });
                let answers: Result<Vec<_>, _> = join_all(calls).await.into_iter().collect();
                answers?;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for RedisLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisLimits");
        shown.field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
