//! A presented text: whether it is a key, which record belongs to it, and what is wrong
//! with it.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Candidates, Finding, KeyFormat, KeyId, Lookup, inspect};

use crate::boundary::{bytes, guard, guard_or, non_null};
use crate::digest::keystile_digest;
use crate::format::keystile_format;
use crate::status::keystile_status::{self, *};
use crate::text::{array, keystile_id};
use crate::verify::keystile_verifier;

/// The most digests that a lookup holds.
pub const KEYSTILE_LOOKUP_DIGESTS_MAX: usize = 9;

/// What to ask a store for: the record with an id, or the record with one of several
/// digests.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_lookup {
    /// Private.
    pub private_key_id: keystile_id,
    /// Private.
    pub private_digest_count: usize,
    /// Private.
    pub private_digests: [keystile_digest; KEYSTILE_LOOKUP_DIGESTS_MAX],
    /// Private.
    pub private_room: [u64; 8],
}

/// Returns the id to look for, which ends in NUL and is lent by the lookup; NULL if the store is
/// to look for digests, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_lookup_key_id(lookup: Option<&keystile_lookup>) -> Option<&keystile_id> {
    guard_or(None, || {
        let id = &lookup?.private_key_id;
        Some((*id != keystile_id::NONE).then_some(id))
    })
}

/// Returns the number of digests that the record may have: one for each pepper, and one without. 0
/// if there is an id, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_lookup_digest_count(lookup: Option<&keystile_lookup>) -> usize {
    guard_or(0, || Some(lookup?.private_digest_count))
}

/// Returns the digest at an index, lent by the lookup; NULL past the last one, and for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_lookup_digest_at(
    lookup: Option<&keystile_lookup>,
    index: usize,
) -> Option<&keystile_digest> {
    guard_or(None, || {
        let lookup = lookup?;
        let digest = lookup.private_digests.get(index);
        Some(digest.filter(|_| index < lookup.private_digest_count))
    })
}

/// What `keystile_inspect` finds.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_finding {
    /// Formatted as a key of this format. Only the store knows whether it was ever
    /// issued.
    KEYSTILE_FINDING_WELL_FORMED = 1,
    /// The shape of a key with a wrong checksum.
    KEYSTILE_FINDING_WRONG_CHECKSUM = 2,
    /// A key with white space, quotes or a scheme around it.
    KEYSTILE_FINDING_WRAPPED = 3,
    /// Begins like a key of this format, but is too short or too long.
    KEYSTILE_FINDING_WRONG_LENGTH = 4,
    /// Begins like a key of this format, but has a character that no key has.
    KEYSTILE_FINDING_WRONG_CHARACTER = 5,
    /// Not a key of this format.
    KEYSTILE_FINDING_FOREIGN = 6,
    /// An empty text.
    KEYSTILE_FINDING_EMPTY = 7,
    /// A finding that has no number in this version.
    KEYSTILE_FINDING_OTHER = 99,
}

use keystile_finding::*;

/// What can be found out about a text without a store. It holds no secret.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_inspection {
    /// A `keystile_finding`.
    pub finding: u32,
    /// The id that the text claims; all zero if there is none.
    pub key_id: keystile_id,
    /// The environment in the text, which ends in NUL; all zero if there is none.
    pub environment: [c_char; 13],
}

/// Checks whether a text has the format of a key, checksum included.
///
/// `text`, `text_len`: the bytes as they were presented, of any length and content.
/// `out_key_id`: receives the id that the key claims, all zero for an opaque key. May
/// be NULL.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_DENIED_INVALID_KEY`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_key_parse(
    format: Option<&keystile_format>,
    text: *const c_char,
    text_len: usize,
    out_key_id: Option<&mut MaybeUninit<keystile_id>>,
) -> keystile_status {
    guard(|| {
        let (format, text): (&KeyFormat, &[u8]) = (&non_null(format)?.0, bytes!(text, text_len)?);
        let key = format.parse(text).ok_or(KEYSTILE_DENIED_INVALID_KEY)?;
        crate::boundary::write_out(out_key_id, keystile_id::of_optional(key.claimed_id()));
        Ok(())
    })
}

/// Finds out which record to look up in the store, before `keystile_verify`.
///
/// `text`, `text_len`: the bytes as they were presented, of any length and content.
/// `out_lookup`: receives the id or the digests; zeros, which are neither, after any other status.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_DENIED_INVALID_KEY` if the text is not a key.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_key_lookup(
    verifier: Option<&keystile_verifier>,
    text: *const c_char,
    text_len: usize,
    mut out_lookup: Option<&mut MaybeUninit<keystile_lookup>>,
) -> keystile_status {
    if let Some(slot) = &mut out_lookup {
        **slot = MaybeUninit::zeroed();
    }
    guard(|| {
        let (verifier, out_lookup) = (&non_null(verifier)?.0, non_null(out_lookup)?);
        let key = verifier
            .parse(bytes!(text, text_len)?)
            .map_err(|denial| keystile_status::from(&denial))?;
        out_lookup.write(keystile_lookup::of(&verifier.lookup(&key)));
        Ok(())
    })
}

/// Inspects a text without a store, for support desks.
///
/// `text`, `text_len`: any bytes. Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_inspect(
    format: Option<&keystile_format>,
    text: *const c_char,
    text_len: usize,
    out_inspection: Option<&mut MaybeUninit<keystile_inspection>>,
) -> keystile_status {
    guard(|| {
        let (format, out_inspection) = (non_null(format)?, non_null(out_inspection)?);
        let inspection = inspect(&format.0, bytes!(text, text_len)?);
        let environment = inspection.environment;
        out_inspection.write(keystile_inspection {
            finding: keystile_finding::of(inspection.finding) as u32,
            key_id: keystile_id::of_optional(inspection.key_id.as_ref()),
            environment: array(environment.as_ref().map_or("", |name| name.as_str())),
        });
        Ok(())
    })
}

/// Returns a sentence for people that says what to do about a finding.
///
/// The text is static and ends in NUL; it is empty for a number that is not a
/// `keystile_finding`.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_finding_hint(finding: u32) -> *const c_char {
    guard_or(c"".as_ptr(), || {
        HINTS
            .iter()
            .find(|(number, _)| *number as u32 == finding)
            .map(|(_, hint)| hint.as_ptr())
    })
}

const HINTS: [(keystile_finding, &core::ffi::CStr); 7] = [
    (
        KEYSTILE_FINDING_WELL_FORMED,
        c"the text is well formed; if it is refused, look up its id in the store",
    ),
    (
        KEYSTILE_FINDING_WRONG_CHECKSUM,
        c"a character was changed; copy the key again from its source",
    ),
    (
        KEYSTILE_FINDING_WRAPPED,
        c"remove the white space, quotes or scheme around the key",
    ),
    (
        KEYSTILE_FINDING_WRONG_LENGTH,
        c"the key was cut off or something was appended to it; copy all of it again",
    ),
    (
        KEYSTILE_FINDING_WRONG_CHARACTER,
        c"a character was changed to one that no key has; copy the key again",
    ),
    (
        KEYSTILE_FINDING_FOREIGN,
        c"this is not a key of this service; look for one with its prefix",
    ),
    (
        KEYSTILE_FINDING_EMPTY,
        c"no key was given; check that the variable that should hold it is set",
    ),
];

impl keystile_finding {
    const fn of(finding: Finding) -> Self {
        match finding {
            Finding::WellFormed => KEYSTILE_FINDING_WELL_FORMED,
            Finding::WrongChecksum => KEYSTILE_FINDING_WRONG_CHECKSUM,
            Finding::Wrapped => KEYSTILE_FINDING_WRAPPED,
            Finding::WrongLength => KEYSTILE_FINDING_WRONG_LENGTH,
            Finding::WrongCharacter => KEYSTILE_FINDING_WRONG_CHARACTER,
            Finding::Foreign => KEYSTILE_FINDING_FOREIGN,
            Finding::Empty => KEYSTILE_FINDING_EMPTY,
            _ => KEYSTILE_FINDING_OTHER,
        }
    }
}

impl keystile_lookup {
    pub(crate) fn of(lookup: &Lookup) -> Self {
        let mut fields = Self {
            private_key_id: keystile_id::NONE,
            private_digest_count: 0,
            private_digests: [keystile_digest::NONE; KEYSTILE_LOOKUP_DIGESTS_MAX],
            private_room: [0; 8],
        };
        match lookup {
            Lookup::Id(id) => fields.private_key_id = keystile_id::of(id),
            Lookup::Digests(candidates) => fields.take(candidates),
            _ => {}
        }
        fields
    }

    /// The record with an id.
    pub(crate) fn of_id(id: &KeyId) -> Self {
        Self::of(&Lookup::Id(*id))
    }

    fn take(&mut self, candidates: &Candidates) {
        for (slot, digest) in self.private_digests.iter_mut().zip(candidates.iter()) {
            *slot = keystile_digest::of(digest);
            self.private_digest_count = self.private_digest_count.saturating_add(1);
        }
    }
}
