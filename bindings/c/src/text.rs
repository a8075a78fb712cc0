//! Texts and public ids as C represents them.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Error, KeyId, UnixMillis};

use crate::boundary::{self, CallResult, non_null, text};
use crate::error::{Failure, OfField as _, guard_saying, keystile_error};
use crate::status::keystile_status::{self, *};

/// A text of `len` bytes. It does not end in NUL. If `data` is NULL, there is no text.
///
/// As an argument it must be UTF-8. As an output it is borrowed from the handle that it
/// came from, and lives until that handle is freed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_str {
    /// The first byte.
    pub data: *const c_char,
    /// The number of bytes.
    pub len: usize,
}

/// The public id of a key: 16 characters and a NUL. All zero if there is none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct keystile_id {
    /// The characters.
    pub text: [c_char; 17],
}

/// Parses the public id of a key, such as a column of a table.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_KEY_ID` if the text is not a key id.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_id_parse(
    text: *const c_char,
    text_len: usize,
    out_id: Option<&mut MaybeUninit<keystile_id>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_id = non_null(out_id)?;
        let id: KeyId = text!(text, text_len)?.parse::<KeyId>().of_field("key_id")?;
        out_id.write(keystile_id::of(&id));
        Ok(())
    })
}

impl keystile_str {
    pub(crate) const NONE: Self = Self {
        data: core::ptr::null(),
        len: 0,
    };

    pub(crate) const fn of(text: &str) -> Self {
        // An empty text of Rust may have the address 1. Callers may hold it where only real
        // pointers are allowed, such as on the stack of a goroutine.
        let data = if text.is_empty() {
            c"".as_ptr()
        } else {
            text.as_ptr().cast()
        };
        Self {
            data,
            len: text.len(),
        }
    }

    pub(crate) fn of_optional(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, Self::of)
    }

    /// The text, which is required.
    pub(crate) fn required<'a>(self) -> Result<&'a str, keystile_status> {
        non_null(self.optional()?)
    }

    /// The text, if there is one.
    pub(crate) fn optional<'a>(self) -> Result<Option<&'a str>, keystile_status> {
        if self.data.is_null() && self.len == 0 {
            return Ok(None);
        }
        text!(self.data, self.len).map(Some)
    }

    /// The bytes, if there are any.
    #[inline]
    pub(crate) fn bytes<'a>(self) -> Result<Option<&'a [u8]>, keystile_status> {
        let bytes = boundary::bytes!(self.data, self.len)?;
        Ok((!self.data.is_null()).then_some(bytes))
    }
}

/// The texts of a list.
pub(crate) fn texts<'a>(
    items: &[keystile_str],
    field: &'static str,
) -> Result<Vec<&'a str>, Failure> {
    let text = |(index, item): (usize, &keystile_str)| {
        let text = item.required().of_field(field);
        text.map_err(|failure| failure.at(index))
    };
    items.iter().enumerate().map(text).collect()
}

/// The texts of a JSON array of strings, as `field` of another JSON text would have it.
pub(crate) fn json_texts(json: &str, field: &'static str) -> Result<Vec<String>, Failure> {
    let expected = "the text must be a JSON array of strings";
    let failure = Failure::new(KEYSTILE_ERROR_JSON, expected).in_field(field);
    serde_json::from_str(json).map_err(|_| failure)
}

/// Writes the text at an index, or returns `KEYSTILE_ERROR_INDEX`.
pub(crate) fn nth<'a>(
    mut texts: impl Iterator<Item = &'a str>,
    index: usize,
    out_text: Option<&mut MaybeUninit<keystile_str>>,
) -> CallResult {
    let out_text = non_null(out_text)?;
    let text = texts.nth(index).ok_or(KEYSTILE_ERROR_INDEX)?;
    out_text.write(keystile_str::of(text));
    Ok(())
}

/// A short text as an array that ends in NUL; longer texts are cut.
pub(crate) fn array<const N: usize>(text: &str) -> [c_char; N] {
    let mut chars = [0; N];
    let room = N.saturating_sub(1);
    for (slot, byte) in chars.iter_mut().take(room).zip(text.bytes()) {
        *slot = c_char::from_ne_bytes([byte]);
    }
    chars
}

impl keystile_id {
    pub(crate) const NONE: Self = Self { text: [0; 17] };

    #[inline]
    pub(crate) fn of(id: &KeyId) -> Self {
        let mut text = [0; 17];
        for (slot, byte) in text.iter_mut().zip(id.as_bytes()) {
            *slot = c_char::from_ne_bytes([*byte]);
        }
        Self { text }
    }

    #[inline]
    pub(crate) fn of_optional(id: Option<&KeyId>) -> Self {
        id.map_or(Self::NONE, Self::of)
    }

    /// The id, which is required.
    pub(crate) fn core(&self) -> Result<KeyId, Error> {
        let bytes = self.text.map(|char| u8::from_ne_bytes(char.to_ne_bytes()));
        let bytes = bytes.split_last().map_or(&[][..], |(_, bytes)| bytes);
        KeyId::from_bytes(bytes)
    }

    /// The id, if there is one.
    pub(crate) fn optional(&self) -> Result<Option<KeyId>, Error> {
        if *self == Self::NONE {
            return Ok(None);
        }
        self.core().map(Some)
    }
}

/// An instant, which is required.
#[inline]
pub(crate) const fn instant(millis: u64) -> Result<UnixMillis, Error> {
    UnixMillis::new(millis)
}

/// An instant; 0 is none.
pub(crate) fn optional_instant(millis: u64) -> Result<Option<UnixMillis>, Error> {
    (millis != 0).then(|| instant(millis)).transpose()
}

/// An instant as a number; none is 0.
pub(crate) fn millis(instant: Option<UnixMillis>) -> u64 {
    instant.map_or(0, UnixMillis::get)
}
