//! What a store keeps: the record of a key, its usage, the events of its life.

pub(crate) mod by;
pub(crate) mod derived_from;
pub(crate) mod event;
pub(crate) mod field_change;
pub(crate) mod invisible;
pub(crate) mod key_record;
#[cfg(feature = "serde")]
pub(crate) mod serde_form;
#[cfg(feature = "serde")]
pub(crate) mod serde_object;
pub(crate) mod usage;
pub(crate) mod within;
