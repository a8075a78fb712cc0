//! A presented text: is it a key, which record is its, and what is wrong with it.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Candidates, Finding, KeyFormat, Lookup, inspect};

use crate::boundary::{bytes, guard, guard_or, non_null};
use crate::digest::keystile_digest;
use crate::format::keystile_format;
use crate::status::keystile_status::{self, *};
use crate::text::{array, keystile_id};
use crate::verify::keystile_verifier;

/// How many digests a look-up holds at most.
pub const KEYSTILE_LOOKUP_DIGESTS_MAX: usize = 9;

/// What a store is asked for: the record of an id, or the one that carries any of some
/// digests.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_lookup {
    /// The id; all zero where digests are to be asked for.
    pub key_id: keystile_id,
    /// How many digests there are; 0 where there is an id.
    pub digest_count: usize,
    /// The digests that the record may carry: one for each pepper, and one without.
    pub digests: [keystile_digest; KEYSTILE_LOOKUP_DIGESTS_MAX],
}

/// What a text turned out to be.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_finding {
    /// Spelled as a key of the format. Whether it was ever issued, only a store knows.
    KEYSTILE_FINDING_WELL_FORMED = 1,
    /// Right in shape, and its check is wrong.
    KEYSTILE_FINDING_WRONG_CHECKSUM = 2,
    /// A key once white space, quotes or a scheme around it are taken off.
    KEYSTILE_FINDING_WRAPPED = 3,
    /// Begins like a key of the format, and breaks off or runs on.
    KEYSTILE_FINDING_WRONG_LENGTH = 4,
    /// Begins like a key of the format, and has characters that no key has.
    KEYSTILE_FINDING_WRONG_CHARACTER = 5,
    /// Not a key of this format.
    KEYSTILE_FINDING_FOREIGN = 6,
    /// Nothing at all.
    KEYSTILE_FINDING_EMPTY = 7,
    /// A finding that this version has no number for.
    KEYSTILE_FINDING_OTHER = 99,
}

use keystile_finding::*;

/// What a text is, as far as that can be told without a store. It holds no secret.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_inspection {
    /// A `keystile_finding`.
    pub finding: u32,
    /// The id that the text claims; all zero where there is none.
    pub key_id: keystile_id,
    /// The environment that it names, which ends in NUL; all zero where there is none.
    pub environment: [c_char; 13],
}

/// Whether a text is spelled as a key of the format, its check included.
///
/// `text`, `text_len`: the bytes as they were presented, of any length and content.
/// `out_key_id`: receives the id that it claims, all zero for an opaque key. May be NULL.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_DENIED_INVALID_KEY`.
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

/// What to ask the store for, before `keystile_verify`.
///
/// `text`, `text_len`: the bytes as they were presented, of any length and content.
/// `out_lookup`: receives the id or the digests.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_DENIED_INVALID_KEY` where the text is no key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_key_lookup(
    verifier: Option<&keystile_verifier>,
    text: *const c_char,
    text_len: usize,
    out_lookup: Option<&mut MaybeUninit<keystile_lookup>>,
) -> keystile_status {
    guard(|| {
        let (verifier, out_lookup) = (&non_null(verifier)?.0, non_null(out_lookup)?);
        let key = verifier
            .parse(bytes!(text, text_len)?)
            .map_err(|denial| keystile_status::from(&denial))?;
        out_lookup.write(keystile_lookup::of(&verifier.lookup(&key)));
        Ok(())
    })
}

/// What a text is: an offline answer for support desks.
///
/// `text`, `text_len`: any bytes. Returns `KEYSTILE_OK`.
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

/// What to do about a finding, in a sentence for people.
///
/// Returns a static text that ends in NUL; an empty one for a number that is no
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
        c"the text is whole; if it is refused, look its id up in the store",
    ),
    (
        KEYSTILE_FINDING_WRONG_CHECKSUM,
        c"a character was changed; copy the key again from where it was issued",
    ),
    (
        KEYSTILE_FINDING_WRAPPED,
        c"take the white space, quotes or scheme off the key",
    ),
    (
        KEYSTILE_FINDING_WRONG_LENGTH,
        c"the key was cut off or something was joined to it; copy it again, whole",
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
        c"there is no key; is the variable set that it should be in",
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
        const NO_DIGEST: keystile_digest = keystile_digest {
            kind: 0,
            pepper: 0,
            bytes: [0; 32],
        };
        let mut own = Self {
            key_id: keystile_id::NONE,
            digest_count: 0,
            digests: [NO_DIGEST; KEYSTILE_LOOKUP_DIGESTS_MAX],
        };
        match lookup {
            Lookup::Id(id) => own.key_id = keystile_id::of(id),
            Lookup::Digests(candidates) => own.take(candidates),
            _ => {}
        }
        own
    }

    fn take(&mut self, candidates: &Candidates) {
        for (place, digest) in self.digests.iter_mut().zip(candidates.iter()) {
            *place = keystile_digest::of(digest);
            self.digest_count = self.digest_count.saturating_add(1);
        }
    }
}
