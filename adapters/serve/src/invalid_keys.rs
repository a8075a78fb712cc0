//! A bound on invalid keys, by the address of the client that sent them.

use core::future::Future;
use core::net::IpAddr;

use keystile::{Denial, DenialCode, Millis, RateLimit, UnixMillis};
use keystile_tower::InvalidKeyLimit;

/// How many invalid keys came from where. A valid one passes from any address: it may have
/// to wait for its record, and that is all.
pub(crate) struct InvalidKeys(Option<InvalidKeyLimit>);

impl InvalidKeys {
    /// At most `bound` invalid keys from one address; as many as come where there is none.
    pub(crate) fn new(bound: Option<RateLimit>) -> Self {
        Self(bound.map(InvalidKeyLimit::new))
    }

    /// Counts a denial, if its key is not known. How long until one more would be taken,
    /// where it was one too many.
    pub(crate) fn count(
        &self,
        denial: &Denial,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) -> Option<Millis> {
        let limiter = self.0.as_ref()?;
        let is_guess = denial.code() == DenialCode::InvalidKey;
        limiter.count(address.filter(|_| is_guess)?, now).err()
    }

    /// What the store says to one who asks from this address; nothing, where too many
    /// others who guess from there ask.
    pub(crate) async fn pace<T>(
        &self,
        address: Option<IpAddr>,
        now: UnixMillis,
        asked: impl Future<Output = T>,
    ) -> Option<T> {
        match (&self.0, address) {
            (Some(limiter), Some(address)) => limiter.pace(address, now, asked).await,
            _ => Some(asked.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use keystile::Cause;

    use super::*;

    #[test]
    fn only_unknown_keys_with_an_address_are_guesses() {
        let none = InvalidKeys::new(RateLimit::new(0, Millis::from_hours(1)).ok());
        let unbounded = InvalidKeys::new(None);
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let address = "192.0.2.1".parse().ok();
        for (cause, is_guess) in [
            (Cause::UnknownKey, true),
            (Cause::MissingCredential, false),
            (Cause::Revoked, false),
            (Cause::StoreUnavailable, false),
        ] {
            let denial = Denial::new(cause);
            let counted = none.count(&denial, address, now).is_some();
            assert_eq!(counted, is_guess, "{cause:?}");
            assert_eq!(none.count(&denial, None, now), None, "{cause:?}");
            assert_eq!(unbounded.count(&denial, address, now), None, "{cause:?}");
        }
    }
}
