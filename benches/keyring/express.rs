//! The two middleware functions of the Express recipe for API keys, in Rust.

use core::cell::Cell;
use std::collections::HashMap;

use keystile::UnixMillis;
use sha2::{Digest, Sha256};

/// What the recipe stores about a key.
pub(crate) struct KeyData {
    pub(crate) client_name: String,
    pub(crate) permissions: Vec<String>,
    is_active: bool,
    last_used: Cell<Option<UnixMillis>>,
}

/// Keys by the hex form of their SHA-256, as in the recipe's map.
#[derive(Default)]
pub(crate) struct ExpressRecipe {
    keys: HashMap<String, KeyData>,
}

impl ExpressRecipe {
    /// Issues a key: a prefix and 32 random bytes in hex.
    pub(crate) fn issue(&mut self, client_name: &str, permissions: &[&str]) -> String {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).unwrap();
        let key = format!("dt_{}", hex::encode(bytes));
        let data = KeyData {
            client_name: client_name.to_owned(),
            permissions: permissions.iter().map(|&name| name.to_owned()).collect(),
            is_active: true,
            last_used: Cell::new(None),
        };
        self.keys.insert(hashed(&key), data);
        key
    }

    /// `validateApiKey`: the data of the key in a header, or the refusal's status.
    ///
    /// The recipe reads the clock here. This function does not, which makes it faster.
    pub(crate) fn validate(&self, header: Option<&str>, now: UnixMillis) -> Result<&KeyData, u16> {
        let data = self
            .keys
            .get(&hashed(header.ok_or(401u16)?))
            .ok_or(403u16)?;
        if !data.is_active {
            return Err(403);
        }
        data.last_used.set(Some(now));
        Ok(data)
    }
}

impl KeyData {
    /// `requirePermission`: whether the permission is in the key's list.
    pub(crate) fn has(&self, permission: &str) -> Result<(), u16> {
        let listed = self.permissions.iter().any(|own| own == permission);
        listed.then_some(()).ok_or(403)
    }
}

fn hashed(key: &str) -> String {
    hex::encode(Sha256::digest(key))
}
