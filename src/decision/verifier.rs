//! Which keys a service accepts.

use alloc::vec::Vec;

use crate::decision::cause::Cause;
use crate::decision::denial::Denial;
use crate::key::digest::PepperRing;
use crate::key::format::KeyFormat;
use crate::key::presented::{Lookup, PresentedKey};
use crate::record::key_record::KeyRecord;

/// Which keys a service accepts: their formats, and the peppers of their digests.
#[derive(Clone, Debug)]
pub struct Verifier {
    formats: Vec<KeyFormat>,
    pub(crate) peppers: PepperRing,
}

impl Verifier {
    /// Accepts keys of one format, whose digests have no pepper.
    #[must_use]
    pub fn new(format: KeyFormat) -> Self {
        Self {
            formats: Vec::from([format]),
            peppers: PepperRing::none(),
        }
    }

    /// Accepts keys of another format too, as while moving from one to another.
    #[must_use]
    pub fn with_format(mut self, format: KeyFormat) -> Self {
        self.formats.push(format);
        self
    }

    /// Checks digests under these peppers.
    #[must_use]
    pub fn with_peppers(mut self, peppers: PepperRing) -> Self {
        self.peppers = peppers;
        self
    }

    /// The formats of the keys.
    pub(crate) fn formats(&self) -> &[KeyFormat] {
        &self.formats
    }

    /// The peppers.
    #[must_use]
    pub const fn peppers(&self) -> &PepperRing {
        &self.peppers
    }

    /// Reads a presented key: its shape, then its check.
    ///
    /// # Errors
    /// A [`Denial`] with [`Cause::Malformed`] if it is of none of the formats.
    #[inline]
    pub fn parse<'k>(&self, credential: &'k [u8]) -> Result<PresentedKey<'k>, Denial> {
        for format in &self.formats {
            if let Some(key) = format.parse(credential) {
                return Ok(key);
            }
        }
        Err(Denial::new(Cause::Malformed))
    }

    /// The record, if it is that of the presented key; otherwise why not.
    pub(crate) fn prove<'r>(
        &self,
        key: &PresentedKey<'_>,
        record: Option<&'r KeyRecord>,
    ) -> Result<&'r KeyRecord, Cause> {
        // A record of another key is no record, whatever lookup it came from.
        let record = record.filter(|record| key.claimed_id().is_none_or(|id| *id == record.id));
        let proved = self
            .peppers
            .proves(key.text(), record.map(|record| &record.digest));
        match record {
            Some(record) if proved => Ok(record),
            Some(record) if self.peppers.knows(record.digest.kind()) => Err(Cause::WrongSecret),
            Some(_) => Err(Cause::PepperUnavailable),
            None => Err(Cause::UnknownKey),
        }
    }

    /// How to look up the key's record in a store.
    #[must_use]
    pub fn lookup(&self, key: &PresentedKey<'_>) -> Lookup {
        key.lookup(&self.peppers)
    }
}
