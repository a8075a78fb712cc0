//! A check that waits for its record.

use super::Keyring;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::key::presented::{Lookup, PresentedKey};

/// A check that waits for its record. It holds the request, and the count of invalidations
/// from before the fetch.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let keyring = Keyring::builder(Verifier::new(format)).build()?;
/// # let key = issued.key.expose().as_bytes();
/// let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else {
///     panic!("nothing is cached yet");
/// };
/// assert!(matches!(ticket.lookup(), Lookup::Id(id) if *id == issued.record.id));
/// // The key is revoked while its record is fetched: the fetched one may be too old.
/// keyring.invalidate(&issued.record.id);
/// let again = keyring.admit(ticket, Some(&issued.record), now);
/// assert!(matches!(again, Check::NeedsRecord(_)), "not an allow");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Ticket<'a> {
    pub(super) key: PresentedKey<'a>,
    pub(super) request: Request<'a>,
    pub(super) lookup: Lookup,
    pub(super) as_of: u64,
}

impl Ticket<'_> {
    /// What to ask the store for.
    #[must_use]
    pub const fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// The count of invalidations from before the fetch, for [`Keyring::ticket`].
    #[must_use]
    pub const fn as_of(&self) -> u64 {
        self.as_of
    }
}

impl<T> Keyring<T> {
    /// The ticket of an earlier [`check`](Self::check) of the same credential and request,
    /// made again from its [`as_of`](Ticket::as_of): for a caller that cannot keep one, such
    /// as a binding that holds no borrowed memory.
    ///
    /// With a number from another keyring, or a later one than that of the check, an
    /// invalidation that overtook the fetch would go unnoticed.
    ///
    /// # Errors
    /// A [`Denial`] if the credential is no key of this keyring's formats.
    pub fn ticket<'a>(
        &self,
        credential: &'a [u8],
        request: &Request<'a>,
        as_of: u64,
    ) -> Result<Ticket<'a>, Denial> {
        let key = self.verifier.parse(credential)?;
        Ok(Ticket {
            lookup: self.verifier.lookup(&key),
            request: *request,
            key,
            as_of,
        })
    }
}
