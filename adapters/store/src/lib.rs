//! Where keystile keeps its records.
#![forbid(unsafe_code)]

mod check;
mod error;
mod memory;
mod store;
mod verbs;

pub use check::{Checked, check};
pub use error::{Damage, StoreError};
pub use memory::MemoryStore;
pub use store::{Batch, Claim, Filter, PAGE_MAX, Page, Store};
pub use verbs::{keep_issued, record, resume, revoke, rotate, suspend};
