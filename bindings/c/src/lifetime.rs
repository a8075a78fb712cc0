//! How long the keys of a service may live.

use keystile::{Error, LifetimePolicy, Millis};

use crate::boundary::{begins_with_its_size, sized};
use crate::error::{Failure, OfField as _};

/// How long the keys of a service live: the lifetime of a key whose request has none, and the
/// longest that a request may ask for. A service has one, and sets it wherever a lifetime is
/// given.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_lifetime_policy {
    /// `sizeof(keystile_lifetime_policy)`.
    pub struct_size: usize,
    /// The lifetime of a key whose request has none; 0 for 90 days, or for the longest if that
    /// is shorter.
    pub default_millis: u64,
    /// The longest lifetime; 0 for any. If there is one, a key that never expires is refused.
    pub longest_millis: u64,
}

begins_with_its_size!(keystile_lifetime_policy);

impl keystile_lifetime_policy {
    fn core(&self) -> Result<LifetimePolicy, Error> {
        let given = |millis| (millis != 0).then(|| Millis::new(millis));
        let longest = given(self.longest_millis);
        let usual = LifetimePolicy::default().default_lifetime();
        let usual = longest.map_or(usual, |longest| usual.min(longest));
        let default = given(self.default_millis).unwrap_or(usual);
        LifetimePolicy::new(default, longest)
    }
}

/// The policy of a field; none if it is NULL.
pub(crate) fn policy_of(
    lifetimes: *const keystile_lifetime_policy,
) -> Result<Option<LifetimePolicy>, Failure> {
    if lifetimes.is_null() {
        return Ok(None);
    }
    let lifetimes = sized!(lifetimes).of_field("lifetimes")?;
    Ok(Some(lifetimes.core()?))
}
