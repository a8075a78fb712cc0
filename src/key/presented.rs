//! A key as it was presented, and what a store is asked for.

use core::fmt;

use crate::key::digest::{Digest, PEPPERS_MAX, PepperRing};
use crate::key::id::KeyId;

/// A presented key: well formed, but not yet verified.
///
/// It borrows the credential's bytes and never prints them.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let verifier = Verifier::new(format);
/// let key = verifier.parse(issued.key.expose().as_bytes()).unwrap();
/// assert_eq!(key.claimed_id(), Some(&issued.record.id));
/// // No lookup is needed to refuse a text that is not a key.
/// assert_eq!(verifier.parse(b"acme_invented").unwrap_err().code(), DenialCode::InvalidKey);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct PresentedKey<'k> {
    text: &'k [u8],
    id: Option<KeyId>,
}

impl<'k> PresentedKey<'k> {
    /// A text that a format has read, and the id in it.
    #[inline]
    pub(crate) const fn new(text: &'k [u8], id: Option<KeyId>) -> Self {
        Self { text, id }
    }

    /// The public id that the key claims, or `None` if its format has no ids.
    #[must_use]
    pub const fn claimed_id(&self) -> Option<&KeyId> {
        self.id.as_ref()
    }

    /// How to look up the key's record in a store.
    ///
    /// A structured key is looked up by its id; an opaque key by each digest that its
    /// record may have under `peppers`.
    #[must_use]
    pub fn lookup(&self, peppers: &PepperRing) -> Lookup {
        match self.id {
            Some(id) => Lookup::Id(id),
            None => {
                let mut digests = [None; PEPPERS_MAX + 1];
                let made = peppers.candidates(self.text);
                digests
                    .iter_mut()
                    .zip(made)
                    .for_each(|(slot, digest)| *slot = Some(digest));
                Lookup::Digests(Candidates(digests))
            }
        }
    }

    pub(crate) const fn text(&self) -> &'k [u8] {
        self.text
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey")
            .field("claimed_id", &self.id)
            .finish_non_exhaustive()
    }
}

/// How to look up a record; it never contains the key's text.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// # let verifier = Verifier::new(format);
/// # let key = verifier.parse(issued.key.expose().as_bytes()).unwrap();
/// let table = [issued.record.clone()];
/// let found = match verifier.lookup(&key) {
///     Lookup::Id(id) => table.iter().find(|record| record.id == id),
///     Lookup::Digests(any) => table.iter().find(|record| any.iter().any(|d| *d == record.digest)),
///     _ => None, // the record cannot be found, so the key is refused
/// };
/// assert_eq!(found, Some(&issued.record));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "a decision makes no heap allocation"
)]
pub enum Lookup {
    /// The record with this id.
    Id(KeyId),
    /// The record with one of these digests.
    Digests(Candidates),
}

/// The digests that an opaque key's record may have, the most likely first.
///
/// ```
/// # use keystile::*;
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// let format = KeyFormat::opaque("dt")?; // dt_ and 64 hex digits: the text has no id
/// let issued = Issuer::new(format.clone()).issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// let verifier = Verifier::new(format).with_peppers(PepperRing::new(Pepper::new(1, &[7; 32])?));
/// let key = verifier.parse(issued.key.expose().as_bytes()).unwrap();
/// let Lookup::Digests(candidates) = verifier.lookup(&key) else { panic!("there is no id") };
/// let kinds: Vec<_> = candidates.iter().map(Digest::kind).collect();
/// assert_eq!(kinds, [DigestKind::HmacSha256 { pepper: 1 }, DigestKind::Sha256]);
/// assert!(candidates.iter().any(|digest| *digest == issued.record.digest));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Candidates([Option<Digest>; PEPPERS_MAX + 1]);

impl Candidates {
    /// Each digest once.
    pub fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter().flatten()
    }
}
