//! Whether a key may do no more than another: a derived key never exceeds its source.

use crate::record::key_record::KeyRecord;

impl KeyRecord {
    /// Whether this key may do nothing that `source` may not: it has the same owner and
    /// environment, no additional permissions, endpoints or networks, no higher rate limit,
    /// no more uses left, and no later end.
    ///
    /// If the source is restricted, this key must be restricted at least as narrowly. The
    /// statuses are not compared.
    ///
    /// ```
    /// # use keystile::*;
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// let all = IssueRequest::new("Acme")?.permissions(["invoices:*"])?;
    /// let one = IssueRequest::new("Acme")?.permissions(["invoices:read"])?;
    /// let all = issuer.issue(&all, &mut SysRng, now)?.record;
    /// let one = issuer.issue(&one, &mut SysRng, now)?.record;
    /// assert!(one.is_within(&all) && !all.is_within(&one));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn is_within(&self, source: &Self) -> bool {
        self.owner == source.owner
            && self.environment == source.environment
            && source.permissions.covers(&self.permissions)
            && is_narrower(
                &self.allowed_endpoints,
                &source.allowed_endpoints,
                |own, held| held.covers(own),
            )
            && is_narrower(
                &self.allowed_networks,
                &source.allowed_networks,
                |own, held| held.covers(own),
            )
            && is_narrower(&self.rate_limit, &source.rate_limit, |own, held| {
                own.is_within(held)
            })
            && is_narrower(&self.remaining_uses, &source.remaining_uses, PartialOrd::le)
            && is_narrower(&self.expires_at, &source.ends_at(), PartialOrd::le)
    }
}

/// Whether a restriction is as narrow as the source's; `None` does not restrict.
pub(crate) fn is_narrower<T>(
    own: &Option<T>,
    held: &Option<T>,
    within: impl Fn(&T, &T) -> bool,
) -> bool {
    match (own, held) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(held)) => within(own, held),
    }
}
