//! The secret text of a key: shown once, wiped when it is dropped.

use alloc::boxed::Box;
use core::fmt;

use zeroize::Zeroize;

/// The full text of a key, as it is given to its owner.
///
/// It cannot be printed, compared, cloned or serialised. [`expose`](Self::expose) is the
/// only way to read it, and the memory is wiped on drop.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let format = KeyFormat::structured("acme")?;
/// let request = IssueRequest::new("Acme Ltd")?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// assert!(issued.key.expose().starts_with("acme_1"));
/// assert_eq!(format!("{:?}", issued.key), "ApiKey(..)");
/// # Ok::<(), Error>(())
/// ```
///
/// Printing one is a compile error:
/// ```compile_fail,E0277
/// fn show(key: keystile::ApiKey) { println!("{key}"); }
/// ```
/// So are cloning and comparing one:
/// ```compile_fail,E0277
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<keystile::ApiKey>();
/// ```
/// ```compile_fail,E0369
/// fn same(a: keystile::ApiKey, b: keystile::ApiKey) -> bool { a == b }
/// ```
pub struct ApiKey(Box<str>);

impl ApiKey {
    /// Takes ownership of a key's text; there must be no other copy of it.
    pub(crate) fn new(text: Box<str>) -> Self {
        Self(text)
    }

    /// The key's text. Show it once, then drop the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for ApiKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
