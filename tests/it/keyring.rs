//! The keyring, seen from outside.

#[cfg(feature = "keyring")]
mod cache;
#[cfg(feature = "keyring")]
mod changed_limits;
#[cfg(feature = "keyring")]
mod clock_steps;
#[cfg(feature = "keyring")]
mod differential;
mod explained;
#[cfg(feature = "keyring")]
mod from_store;
#[cfg(feature = "keyring")]
mod lease_bound;
#[cfg(feature = "keyring")]
mod leases;
#[cfg(feature = "keyring")]
mod limits;
#[cfg(feature = "keyring")]
mod threads;
#[cfg(feature = "keyring")]
mod uses;
#[cfg(feature = "keyring")]
mod values;
