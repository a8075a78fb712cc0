//! What each check of a decision compares, without the key's text.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::explain;

use crate::boundary::{fill, guard, non_null, sized};
use crate::record::{keystile_record, keystile_usage};
use crate::request::keystile_request;
use crate::status::keystile_status;
use crate::text::instant;
use crate::verify::keystile_verifier;

/// Explains the decision that a request with a record's key would get, without the key's
/// text. The secret is taken as verified; all other checks are those of
/// `keystile_verify`. Nothing is spent.
///
/// The explanation is for people who may read the record: it tells more than a refusal
/// does. It has no part of a key or a digest.
///
/// `verifier`: its peppers tell whether the record's digest can be verified.
/// `record`: the key's record.
/// `request`: what the caller wants to do.
/// `usage`: what the lineage has spent; it does not change.
/// `now`: milliseconds since 1970.
/// `buffer`, `buffer_len`: receives a JSON object, without a NUL: `decision` (`allow` or
/// `deny`), `code` (the name of the refusal, or null), `refused_by` (the name of the first
/// check that refuses, or null) and `checks`, in order, each with `check`, `passes`,
/// `code` and `compared` (the values of both sides, a sentence for people). May be NULL
/// and 0 to ask for the length.
/// `out_needed`: receives the length of the text, also if the buffer is too small.
///
/// Returns `KEYSTILE_OK`, for an explained refusal too, or
/// `KEYSTILE_ERROR_BUFFER_TOO_SMALL`; `KEYSTILE_ERROR_STRUCT_SIZE`, `KEYSTILE_ERROR_TIME`,
/// or the error of a field of the request.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_explain(
    verifier: Option<&keystile_verifier>,
    record: Option<&keystile_record>,
    request: *const keystile_request<'_>,
    usage: Option<&keystile_usage>,
    now: u64,
    buffer: *mut c_char,
    buffer_len: usize,
    out_needed: Option<&mut MaybeUninit<usize>>,
) -> keystile_status {
    guard(|| {
        let (verifier, record) = (&non_null(verifier)?.0, &non_null(record)?.0);
        let (usage, now) = (non_null(usage)?.core()?, instant(now)?);
        let request = sized!(request)?;
        request.ask(|request| {
            let explained = explain(verifier, record, request, &usage, now);
            let json = serde_json::to_string(&explained)?;
            fill!(&json, buffer, buffer_len, out_needed)
        })
    })
}
