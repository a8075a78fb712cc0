//! The keyring, seen from outside.

#[cfg(feature = "keyring")]
mod cache;
#[cfg(feature = "keyring")]
mod differential;
#[cfg(feature = "keyring")]
mod limits;
#[cfg(feature = "keyring")]
mod threads;
#[cfg(feature = "keyring")]
mod uses;
#[cfg(feature = "keyring")]
mod values;
