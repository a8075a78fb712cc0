//! Rate limits of keystile that all processes of a service share, counted on a Redis or Valkey
//! server.
//!
//! [`RedisLimits`] implements [`Limits`](keystile_store::Limits) of the crate `keystile-store`.
//! What is spent of a limit is counted by one script, which is carried out as a whole, by the
//! server's clock, in whole numbers. In any time T, at most `burst + limit × T / window` requests
//! pass in all processes together.
//!
//! ```no_run
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use keystile_redis::{RedisLimits, RedisOptions};
//!
//! let options = RedisOptions::new("rediss://keystile:secret@redis.internal")?;
//! let limits = RedisLimits::connect(options).await?;
//! if let Some(policy) = limits.eviction_policy().await {
//!     eprintln!("redis.internal may forget what is spent: maxmemory-policy is {policy}");
//! }
//! # Ok::<(), keystile_store::StoreError>(())
//! # }).unwrap();
//! ```
//!
//! A URL of another kind is refused before anything is connected:
//!
//! ```
//! use keystile_redis::RedisOptions;
//! use keystile_store::UnavailableKind;
//!
//! let refused = RedisOptions::new("postgres://keystile:secret@db.internal").unwrap_err();
//! assert_eq!(refused.unavailable_kind(), Some(UnavailableKind::Url));
//! assert!(!format!("{refused:?}").contains("secret"));
//! ```
//!
//! # What is lost, and what follows
//!
//! Redis answers before a write is on its disk or on a replica. If the server is flushed, if it
//! restarts without its data, or if a replica takes over that lacks the last writes, what was
//! spent is forgotten, and one burst more may pass: once for each such loss. The same holds for a
//! server that removes keys when its memory is full, each time that it does: set
//! `maxmemory-policy noeviction`, or give the limits a server of their own. With `noeviction`, a
//! full server refuses the call, which lets nothing pass. [`RedisLimits::eviction_policy`] says
//! whether a server removes keys.
//!
//! A replica refuses the script, since it writes. The connection is then made again, as the name
//! of the server, the cluster or the sentinels may lead to another one.
//!
//! If the server's clock is set back, at most one burst more passes, and nothing waits longer than
//! a burst and a minute.
//!
//! # What the server's user needs
//!
//! ```text
//! ACL SETUSER keystile on >PASSWORD ~keystile:* &keystile:* +ping +evalsha +eval +get +set +time +publish +subscribe
//! ```
//!
//! `+publish` and `+subscribe` are for [`RedisWake`] only, and `+info` for
//! [`RedisLimits::eviction_policy`]. A cluster needs `+cluster|slots +readonly` as well.
//! Redis and Valkey are supported from version 7 on.
//!
//! # Features
//!
//! - `tls` (default): TLS, by rustls.
//! - `cluster`: Redis Cluster.
//! - `sentinel`: servers that sentinels name.

mod connection;
mod fault;
mod limits;
mod link;
mod options;
mod script;
mod target;
mod wake;

pub use self::limits::RedisLimits;
pub use self::options::RedisOptions;
pub use self::wake::RedisWake;
