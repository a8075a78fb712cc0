//! What a key is: its text, its public id and its digest, and how each is made and
//! checked.

pub(crate) mod base62;
pub(crate) mod checksum;
pub(crate) mod contains_key;
pub(crate) mod digest;
pub(crate) mod format;
pub(crate) mod id;
pub(crate) mod inspect;
pub(crate) mod label;
pub(crate) mod parts;
pub(crate) mod presented;
pub(crate) mod sha256;
pub(crate) mod shape;
pub(crate) mod text;
