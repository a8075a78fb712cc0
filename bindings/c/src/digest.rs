//! What a store holds of a key's text.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Digest, DigestKind, PepperRing};

use crate::boundary::{bytes, guard, guard_or, non_null, text};
use crate::error::{guard_saying, keystile_error};
use crate::pepper::keystile_peppers;
use crate::status::keystile_status::{self, *};
use crate::text::array;

/// How a digest was made.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_digest_kind {
    /// SHA-256 of the whole text of the key.
    KEYSTILE_DIGEST_SHA256 = 1,
    /// HMAC-SHA-256 of the whole text of the key, with a pepper.
    KEYSTILE_DIGEST_HMAC_SHA256 = 2,
}

use keystile_digest_kind::*;

/// The digest of a key's text. Its content is private: use the functions. It has room for digests
/// of later versions, which may lend a text of the record that they came from.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_digest {
    /// Private.
    pub private_kind: u32,
    /// Private.
    pub private_pepper: u32,
    /// Private.
    pub private_bytes: [u8; 32],
    /// Private.
    pub private_room: [u64; 3],
}

/// The text of a digest: `sha256:` or `hmac-sha256:<pepper>:`, then 64 hex digits and a
/// NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_digest_text {
    /// The characters.
    pub text: [c_char; 96],
}

/// Computes the digest for a new record of this key.
///
/// `peppers`: the current pepper is used; NULL for SHA-256.
/// `key`, `key_len`: the whole text of the key.
///
/// Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_digest_of(
    peppers: Option<&keystile_peppers>,
    key: *const c_char,
    key_len: usize,
    out_digest: Option<&mut MaybeUninit<keystile_digest>>,
) -> keystile_status {
    guard(|| {
        let out_digest = non_null(out_digest)?;
        let none = PepperRing::none();
        let peppers = peppers.map_or(&none, |peppers| &peppers.0);
        let digest = peppers.digest(bytes!(key, key_len)?);
        out_digest.write(keystile_digest::of(&digest));
        Ok(())
    })
}

/// Parses the text of a digest: that of `keystile_digest_to_text`, or only 64 hex
/// digits for SHA-256.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_digest_parse(
    text: *const c_char,
    text_len: usize,
    out_digest: Option<&mut MaybeUninit<keystile_digest>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_digest = non_null(out_digest)?;
        let digest: Digest = text!(text, text_len)?.parse::<Digest>()?;
        out_digest.write(keystile_digest::of(&digest));
        Ok(())
    })
}

/// Formats a digest, for a column of a table.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` if it was not
/// written by this library.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_digest_to_text(
    digest: Option<&keystile_digest>,
    out_text: Option<&mut MaybeUninit<keystile_digest_text>>,
) -> keystile_status {
    guard(|| {
        let (digest, out_text) = (non_null(digest)?, non_null(out_text)?);
        let text = String::from(digest.core()?);
        out_text.write(keystile_digest_text { text: array(&text) });
        Ok(())
    })
}

/// Compares two digests in constant time.
///
/// `out_equal`: receives the answer. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE`
/// if one was not written by this library.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_digest_equal(
    one: Option<&keystile_digest>,
    other: Option<&keystile_digest>,
    out_equal: Option<&mut MaybeUninit<bool>>,
) -> keystile_status {
    guard(|| {
        let (one, other) = (non_null(one)?.core()?, non_null(other)?.core()?);
        non_null(out_equal)?.write(one == other);
        Ok(())
    })
}

/// Returns how a digest was made, a `keystile_digest_kind`; 0 for NULL and for a zeroed digest.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_digest_kind_of(digest: Option<&keystile_digest>) -> u32 {
    guard_or(0, || Some(digest?.private_kind))
}

/// Returns the version of the pepper that a digest was made with; 0 if there is none.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_digest_pepper(digest: Option<&keystile_digest>) -> u32 {
    guard_or(0, || Some(digest?.private_pepper))
}

impl keystile_digest {
    /// No digest.
    pub(crate) const NONE: Self = Self {
        private_kind: 0,
        private_pepper: 0,
        private_bytes: [0; 32],
        private_room: [0; 3],
    };

    pub(crate) const fn of(digest: &Digest) -> Self {
        let (kind, pepper) = match digest.kind() {
            DigestKind::HmacSha256 { pepper } => (KEYSTILE_DIGEST_HMAC_SHA256, pepper),
            _ => (KEYSTILE_DIGEST_SHA256, 0),
        };
        Self {
            private_kind: kind as u32,
            private_pepper: pepper,
            private_bytes: *digest.bytes(),
            ..Self::NONE
        }
    }

    pub(crate) fn core(&self) -> Result<Digest, keystile_status> {
        let kind = match (self.private_kind, self.private_pepper) {
            (kind, 0) if kind == KEYSTILE_DIGEST_SHA256 as u32 => DigestKind::Sha256,
            (kind, pepper) if kind == KEYSTILE_DIGEST_HMAC_SHA256 as u32 => {
                DigestKind::HmacSha256 { pepper }
            }
            _ => return Err(KEYSTILE_ERROR_VALUE),
        };
        // What is there comes from a later version, or was not zeroed.
        if self.private_room != [0; 3] {
            return Err(KEYSTILE_ERROR_VALUE);
        }
        Ok(Digest::new(kind, self.private_bytes))
    }
}
