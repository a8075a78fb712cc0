//! Where keystile keeps its records.
#![forbid(unsafe_code)]

mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod verbs;

pub use check::{Checked, check};
pub use error::{Damage, StoreError};
pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use store::{Batch, Claim, Filter, PAGE_MAX, Page, Store};
pub use verbs::{keep_issued, record, resume, revoke, rotate, suspend};
