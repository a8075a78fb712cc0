//! A check of a presented key against what is cached.

use super::sync::atomic::Ordering;
use super::{Keyring, Ticket, TokenTicket};
use crate::decision::answer::Decision;
use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::decision::request::Request;
use crate::key::format::KEY_TEXT_BYTES_MAX;
use crate::key::id::KeyId;
use crate::key::parts::Parts;
use crate::time::UnixMillis;

/// The result of a check.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let keyring = Keyring::builder(Verifier::new(format)).build()?;
/// let key = issued.key.expose().as_bytes();
/// let Check::NeedsRecord(ticket) = keyring.check(key, &Request::new(), now) else {
///     panic!("nothing is cached yet");
/// };
/// // The store has no such record, so the key is refused.
/// let Check::Decided(decision, None) = keyring.admit(ticket, None, now) else {
///     panic!("nothing was invalidated");
/// };
/// assert_eq!(decision.denial().unwrap().cause(), Cause::UnknownKey);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a decision that is not looked at guards nothing"]
#[expect(
    clippy::exhaustive_enums,
    reason = "a caller has to handle all three, and there is no fourth"
)]
#[expect(
    clippy::large_enum_variant,
    reason = "a decision makes no heap allocation"
)]
pub enum Check<'a, T = ()> {
    /// The decision; with an allow, the value that was admitted with the record that the
    /// decision was made on. A denial comes without one.
    Decided(Decision, Option<T>),
    /// The record is not cached: fetch it by [`Ticket::lookup`] and call
    /// [`Keyring::admit`].
    NeedsRecord(Ticket<'a>),
    /// The rate limit is counted elsewhere and a token is missing, which is all that is: take
    /// as many as [`TokenTicket::tokens`] says and call [`Keyring::grant`]. Only keyrings with
    /// [`shared_limits`](super::KeyringBuilder::shared_limits) answer so.
    NeedsTokens(TokenTicket<'a>),
}

impl<T: Clone> Keyring<T> {
    /// Decides by a cached record, or returns a ticket that names the one to fetch.
    ///
    /// `now` is one reading of the clock for the whole check.
    #[inline]
    pub fn check<'a>(
        &self,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a, T> {
        self.check_with(credential, request, now, T::clone)
    }

    /// Returns the value of a cached record without a decision, as long as a check of the
    /// key would be decided by that record; the key may be in any state.
    ///
    /// This is not counted as a use of the key, and does not prove who asks.
    #[must_use]
    pub fn value(&self, id: &KeyId, now: UnixMillis) -> Option<T> {
        let entries = self.entries.pin();
        let entry = entries.get(id)?;
        self.holds(entry, self.clock(now))
            .then(|| entry.value().clone())
    }
}

impl<T> Keyring<T> {
    /// As [`check`](Self::check), with what `view` returns for the value, for callers that
    /// need a part of it or nothing. It runs only with an allow, and must not call the
    /// keyring.
    pub fn check_with<'a, V>(
        &self,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
        view: impl FnOnce(&T) -> V,
    ) -> Check<'a, V> {
        if credential.len() > KEY_TEXT_BYTES_MAX {
            return Check::deny(Cause::Malformed);
        }
        let Some(parts) = Parts::of(credential) else {
            return self.check_opaque(credential, request, now, view);
        };
        let entries = self.entries.pin();
        // An invalid id matches no entry.
        let id = KeyId::to_look_for(*parts.id);
        let clock = self.clock(now);
        // store-forwarding stall: the id is read from the map (see ARCHITECTURE.md)
        if let Some((&id, entry)) = entries.get_key_value(&id)
            && self.holds(entry, clock)
        {
            if !entry.is_key(&self.tagger, credential, &parts) {
                return self.unproved(credential, true, request, now);
            }
            if entry.extras().is_some() {
                if let Some(check) = self.decide(id, entry, request, clock, view) {
                    return check;
                }
                if self.leases.is_some() {
                    return self.undecided(id, entry, credential, request, now);
                }
            } else {
                // The same for records without extras, which most are.
                match self.evaluate(id, entry, None, request, clock) {
                    Ok(spent) => {
                        // store-forwarding stall: build in place (see ARCHITECTURE.md)
                        let allowed = entry.allowed(id, None, spent, clock);
                        let value = view(entry.value());
                        return Check::Decided(Decision::Allow(allowed), Some(value));
                    }
                    Err(refused) => {
                        if let Some(denial) = refused.denial(id, entry, clock) {
                            return Check::Decided(Decision::Deny(denial), None);
                        }
                    }
                }
            }
        }
        self.unproved(credential, false, request, now)
    }

    /// The same for a key that carries no id: the tag of its text leads to the record.
    #[inline(never)]
    fn check_opaque<'a, V>(
        &self,
        credential: &'a [u8],
        request: &Request<'a>,
        now: UnixMillis,
        view: impl FnOnce(&T) -> V,
    ) -> Check<'a, V> {
        if self.verifier.parse(credential).is_ok() {
            let tag = self.tagger.tag(credential);
            let clock = self.clock(now);
            let (entries, aliases) = (self.entries.pin(), self.aliases.pin());
            if let Some(id) = aliases.get(&tag.to_bits())
                && let Some(entry) = entries.get(id)
                && entry.tag().is(&tag)
                && self.holds(entry, clock)
            {
                return match self.decide(*id, entry, request, clock, view) {
                    Some(check) => check,
                    None => self.undecided(*id, entry, credential, request, now),
                };
            }
        }
        self.unproved(credential, false, request, now)
    }

    /// The result if no cached record proves the key: malformed, known to be wrong, or a
    /// ticket. `is_other` is set if the record of its id is cached and the key is another.
    #[inline(never)]
    pub(super) fn unproved<'a, V>(
        &self,
        credential: &'a [u8],
        is_other: bool,
        request: &Request<'a>,
        now: UnixMillis,
    ) -> Check<'a, V> {
        let Ok(key) = self.verifier.parse(credential) else {
            return Check::deny(Cause::Malformed);
        };
        if is_other {
            return Check::deny(Cause::WrongSecret);
        }
        let id = key.claimed_id().copied();
        let at = self.not_before(now);
        // Of the whole text, so that no other key is refused for it.
        let tag = self.tagger.tag(key.text());
        if let Some(refusal) = self.negative.find(id, &tag, &self.invalidations, at) {
            self.counters.absent_hits.fetch_add(1, Ordering::Relaxed);
            return Check::deny(refusal.into());
        }
        self.counters.fetches.fetch_add(1, Ordering::Relaxed);
        Check::NeedsRecord(Ticket {
            as_of: self.invalidations.now(),
            lookup: self.verifier.lookup(&key),
            key,
            request: *request,
        })
    }
}

impl<T> Check<'_, T> {
    /// A denial of a key that no record is known for.
    pub(super) const fn deny(cause: Cause) -> Self {
        Self::Decided(Decision::Deny(Denial::new(cause)), None)
    }
}

#[cfg(not(keystile_loom))]
#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::*;
    use crate::decision::verifier::Verifier;
    use crate::key::digest::{Digest, PepperRing};
    use crate::key::format::KeyFormat;
    use crate::lifecycle::issue::{Issued, issue};
    use crate::lifecycle::issue_request::IssueRequest;
    use crate::record::key_record::KeyRecord;
    use std::vec::Vec;

    fn now() -> UnixMillis {
        UnixMillis::new(1_790_000_000_000).unwrap()
    }

    fn keys(format: &KeyFormat, count: usize) -> Vec<Issued> {
        let (none, request) = (PepperRing::none(), IssueRequest::new("Acme").unwrap());
        let issue = |_| issue(format, &none, &request, &mut getrandom::SysRng, now()).unwrap();
        (0..count).map(issue).collect()
    }

    fn keyring(format: KeyFormat, capacity: usize) -> Keyring {
        let builder = Keyring::builder(Verifier::new(format));
        builder.capacity(capacity).build().unwrap()
    }

    fn ask(keyring: &Keyring, text: &str, record: Option<&KeyRecord>) -> bool {
        let mut check = keyring.check(text.as_bytes(), &Request::new(), now());
        loop {
            match check {
                Check::Decided(decision, _) => return decision.is_allow(),
                Check::NeedsRecord(ticket) => {
                    check = keyring.admit_with(ticket, record.map(Found::new), now());
                }
                Check::NeedsTokens(_) => panic!("its limits are its own"),
            }
        }
    }

    #[test]
    fn a_cached_key_with_more_text_is_another_key() {
        let format = KeyFormat::structured("acme").unwrap();
        let keyring = keyring(format.clone(), 8);
        let issued = &keys(&format, 1)[0];
        let text = issued.key.expose();
        assert!(ask(&keyring, text, Some(&issued.record)));
        assert!(ask(&keyring, text, None), "it is cached");
        for at in 0..=text.len() {
            for more in ["x", "_", &text[..at], &text[at..]] {
                let longer = std::format!("{}{more}{}", &text[..at], &text[at..]);
                let is_allowed = ask(&keyring, &longer, Some(&issued.record));
                assert_eq!(is_allowed, longer == text, "{more:?} at {at}");
            }
        }
    }

    #[test]
    fn an_opaque_key_is_compared_with_the_entry_that_its_tag_leads_to() {
        let format = KeyFormat::opaque("dt").unwrap();
        let keyring = keyring(format.clone(), 8);
        let [one, other] = &keys(&format, 2)[..] else {
            panic!("two keys")
        };
        assert!(ask(&keyring, one.key.expose(), Some(&one.record)));
        let tag = keyring.tagger.tag(other.key.expose().as_bytes());
        keyring.aliases.pin().insert(tag.to_bits(), one.record.id);
        assert!(!ask(&keyring, other.key.expose(), None));
    }

    #[test]
    fn an_opaque_key_leaves_nothing_behind_when_its_digest_changes_or_it_is_evicted() {
        let format = KeyFormat::opaque("dt").unwrap();
        let ring = keyring(format.clone(), 2);
        let keys = keys(&format, 16);
        let mut record = keys[0].record.clone();
        for key in &keys {
            record.digest = Digest::sha256(key.key.expose().as_bytes());
            record.version += 1;
            assert!(ask(&ring, key.key.expose(), Some(&record)));
            assert_eq!(ring.aliases.len(), 1);
        }
        assert!(
            !ask(&ring, keys[0].key.expose(), None),
            "its digest is no more"
        );
        for key in &keys[1..] {
            assert!(ask(&ring, key.key.expose(), Some(&key.record)));
            assert!(ring.aliases.len() <= 2);
        }
        assert!(ring.stats().evictions > 8);
    }
}
