//! A check that waits for a token.

use core::hash::BuildHasher;

use super::entry::Entry;
use super::{Check, Keyring};
use crate::decision::request::Request;
use crate::key::id::KeyId;
use crate::policy::rate_limit::RateLimit;
use crate::time::UnixMillis;

/// A check that waits for a token of a rate limit that is counted elsewhere. Everything else
/// that the request asks for is granted.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let ten = RateLimit::new(10, Millis::from_secs(1))?;
/// # let request = IssueRequest::new("Acme")?.rate_limit(ten).permissions(["read"])?;
/// # let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// # let keyring = Keyring::builder(Verifier::new(format)).shared_limits(Leases::default()).build()?;
/// let (id, key) = (issued.record.id, issued.key.expose().as_bytes());
/// # let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else { panic!() };
/// # let _ = keyring.admit(ticket, Some(&issued.record), now);
/// let Check::NeedsTokens(ticket) = keyring.check(key, &Request::new(), now) else {
///     panic!("its limit is counted elsewhere");
/// };
/// assert_eq!((ticket.key_id(), ticket.lineage(), ticket.limit()), (id, id, ten));
/// assert_eq!(ticket.tokens(), 1, "it was not used much yet");
///
/// // No token is asked for if the key lacks the permission.
/// let write = Requirement::parse("write")?;
/// let Check::Decided(decision, None) = keyring.check(key, &Request::new().requires(&write), now) else {
///     panic!("refused");
/// };
/// assert_eq!(decision.denial().unwrap().code(), DenialCode::PermissionMissing);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct TokenTicket<'a> {
    pub(super) credential: &'a [u8],
    pub(super) request: Request<'a>,
    pub(super) key_id: KeyId,
    pub(super) lineage: KeyId,
    pub(super) limit: RateLimit,
    tokens: u32,
}

impl TokenTicket<'_> {
    /// The key.
    #[must_use]
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Its lineage, whose keys share one state of the limit.
    #[must_use]
    pub const fn lineage(&self) -> KeyId {
        self.lineage
    }

    /// The limit of the key.
    #[must_use]
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// How many tokens to ask for, at least 1: more if the last ones were used up early.
    #[must_use]
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }
}

impl<'a> TokenTicket<'a> {
    /// A ticket from its parts and the credential and request of its check: for a caller that
    /// cannot keep one, such as a binding that holds no borrowed memory. It is worth nothing to
    /// a credential that is not that of the key.
    #[must_use]
    pub const fn from_parts(
        credential: &'a [u8],
        request: &Request<'a>,
        key_id: KeyId,
        lineage: KeyId,
        limit: RateLimit,
    ) -> Self {
        Self {
            credential,
            request: *request,
            key_id,
            lineage,
            limit,
            tokens: 1,
        }
    }
}

impl core::fmt::Debug for TokenTicket<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TokenTicket")
            .field("key_id", &self.key_id)
            .field("lineage", &self.lineage)
            .field("limit", &self.limit)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}

impl<T> Keyring<T> {
    /// What a check comes to that an entry did not decide: it needs a token, or another entry
    /// has taken over and the record is asked for.
    #[cold]
    #[inline(never)]
    pub(super) fn undecided<'a, V>(
        &self,
        id: KeyId,
        entry: &Entry<T>,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a, V> {
        match self.token_ticket(id, entry, credential, request, now) {
            Some(ticket) => Check::NeedsTokens(ticket),
            None => self.unproved(credential, false, request, now),
        }
    }

    /// A ticket, if an entry waits for tokens.
    pub(super) fn token_ticket<'a>(
        &self,
        id: KeyId,
        entry: &Entry<T>,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Option<TokenTicket<'a>> {
        let leases = self.leases.as_ref()?;
        let (lease, limit) = (entry.lease()?, *entry.rate_limit()?);
        let _lock = self.lock_of(self.hasher.hash_one(id));
        let tokens = lease.ask(leases.tokens_at_once(&limit), now);
        (!lease.is_closed()).then_some(TokenTicket {
            credential,
            request: *request,
            key_id: id,
            lineage: entry.lineage(id),
            limit,
            tokens,
        })
    }
}
