//! Attacks that succeeded against other products, each under its row in the list of
//! attacks.

#[cfg(feature = "keyring")]
mod caching;
mod clocks;
mod credentials;
mod digests;
mod endpoints;
mod headers;
#[cfg(feature = "keyring")]
mod invalidation;
#[cfg(feature = "keyring")]
mod lagging_replica;
mod leakage;
mod lifecycle;
mod limits;
mod paths;
mod privilege;
mod randomness;
