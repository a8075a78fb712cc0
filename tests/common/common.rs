//! What the tests share. Each binary uses a part of it.

#![allow(dead_code, reason = "no binary needs all of it")]
#![allow(clippy::panic, reason = "a test fails where the product must not")]

pub(crate) mod forged;
#[cfg(feature = "keyring")]
pub(crate) mod keyring_with_store;
pub(crate) mod naive_path;
pub(crate) mod restricted;
pub(crate) mod routers;
pub(crate) mod service;
pub(crate) mod test_rng;
