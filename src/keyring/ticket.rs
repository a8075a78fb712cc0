//! Tickets for a caller who cannot keep one: a binding that holds no borrowed memory.

use super::{Keyring, Ticket};
use crate::decision::denial::Denial;
use crate::decision::request::Request;

impl Ticket<'_> {
    /// What was invalidated before the fetch began, as a number for
    /// [`Keyring::ticket`].
    #[must_use]
    pub const fn as_of(&self) -> u64 {
        self.as_of
    }
}

impl Keyring {
    /// A ticket as an earlier [`check`](Self::check) gave it, for the same credential and
    /// request, made anew from its [`as_of`](Ticket::as_of).
    ///
    /// A number from another keyring, or a later one than that of the check, would let an
    /// invalidation go unnoticed that overtook the fetch.
    ///
    /// # Errors
    /// A [`Denial`] where the credential is no key of this keyring's formats.
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
