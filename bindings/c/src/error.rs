//! Why a call failed: the text of the core, with the field and the item.

use core::mem::MaybeUninit;

use keystile::Error;

use crate::boundary::{Out, guard, write_out};
use crate::status::keystile_status::{self, *};
use crate::status::words;
use crate::text::keystile_str;

/// What an index is if there is none; `SIZE_MAX` in the header.
const KEYSTILE_INDEX_NONE: usize = usize::MAX;

/// Why a call failed, for people. Its texts are static, never contain any part of an argument,
/// and do not end in NUL.
///
/// A line of a log is the field, the index in brackets and the message, such as
/// `permissions[2]: a permission must be segments of ...`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_error {
    /// What was expected; NULL if the call did not fail.
    pub message: keystile_str,
    /// The field that is wrong, such as `client_name` or `rate_limit.window`; NULL if that is
    /// not known, or if it is not of one field.
    pub field: keystile_str,
    /// The item of the field that is wrong, from 0; `KEYSTILE_INDEX_NONE` if it is not of one
    /// item.
    pub index: usize,
}

/// A status with what is known of its reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    status: keystile_status,
    message: Option<&'static str>,
    field: Option<&'static str>,
    index: Option<usize>,
}

/// Like [`guard`], and writes why the body failed; all zero if it did not.
pub(crate) fn guard_saying(
    out_error: Option<&mut MaybeUninit<keystile_error>>,
    work: impl FnOnce() -> Result<(), Failure>,
) -> keystile_status {
    let mut failure = None;
    let status = guard(|| {
        work().map_err(|why| {
            failure = Some(why);
            why.status
        })
    });
    let why = failure.unwrap_or_else(|| Failure::from(status));
    write_error(out_error, why);
    status
}

fn write_error(out_error: Out<'_, keystile_error>, why: Failure) {
    let error = if why.status == KEYSTILE_OK {
        keystile_error {
            message: keystile_str::NONE,
            field: keystile_str::NONE,
            index: 0,
        }
    } else {
        keystile_error {
            message: keystile_str::of(why.message()),
            field: keystile_str::of_optional(why.field),
            index: why.index.unwrap_or(KEYSTILE_INDEX_NONE),
        }
    };
    write_out(out_error, error);
}

impl Failure {
    pub(crate) const fn new(status: keystile_status, message: &'static str) -> Self {
        Self {
            status,
            message: Some(message),
            field: None,
            index: None,
        }
    }

    pub(crate) const fn in_field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    pub(crate) const fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// The same reason, for a text that is not the expected JSON.
    pub(crate) const fn in_json(mut self) -> Self {
        self.status = KEYSTILE_ERROR_JSON;
        self
    }

    /// Its own text, or else that of the status.
    fn message(&self) -> &'static str {
        let general = || words(self.status as i32).1.to_str().unwrap_or_default();
        self.message.unwrap_or_else(general)
    }
}

impl From<keystile_status> for Failure {
    fn from(status: keystile_status) -> Self {
        Self {
            status,
            message: None,
            field: None,
            index: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            status: keystile_status::from(error),
            message: Some(error.message()),
            field: error.field(),
            index: error.index(),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        keystile_status::from(error).into()
    }
}

/// Names the field of an argument that is wrong.
pub(crate) trait OfField<T> {
    fn of_field(self, field: &'static str) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> OfField<T> for Result<T, E> {
    fn of_field(self, field: &'static str) -> Result<T, Failure> {
        self.map_err(|error| error.into().in_field(field))
    }
}
