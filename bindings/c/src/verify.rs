//! The decision about a key whose record is at hand.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{Decision, Verifier, verify};

use crate::boundary::{bytes, guard, non_null, release, sized};
use crate::decision::{guard_deciding, keystile_decision, write_decision};
use crate::format::keystile_format;
use crate::pepper::keystile_peppers;
use crate::record::{keystile_record, keystile_usage};
use crate::request::keystile_request;
use crate::status::keystile_status;
use crate::text::instant;

/// The keys that a service accepts. Handle; it never changes, and threads may share it.
#[derive(Debug)]
pub struct keystile_verifier(pub(crate) Verifier);

/// Creates a verifier for keys of one format.
///
/// `format`: copied.
/// `peppers`: those that digests are verified with; NULL for none; copied.
/// `out_verifier`: receives a handle; free it with `keystile_verifier_free`.
///
/// Returns `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_verifier_new(
    format: Option<&keystile_format>,
    peppers: Option<&keystile_peppers>,
    out_verifier: Option<&mut MaybeUninit<Option<Box<keystile_verifier>>>>,
) -> keystile_status {
    guard(|| {
        let (format, out_verifier) = (non_null(format)?, non_null(out_verifier)?);
        let mut verifier = Verifier::new(format.0.clone());
        if let Some(peppers) = peppers {
            verifier = verifier.with_peppers(peppers.0.clone());
        }
        out_verifier.write(Some(Box::new(keystile_verifier(verifier))));
        Ok(())
    })
}

/// Copies a verifier; the copy accepts keys of a further format too.
///
/// `out_verifier`: receives a new handle; `verifier` does not change. Returns
/// `KEYSTILE_OK`.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_verifier_with_format(
    verifier: Option<&keystile_verifier>,
    format: Option<&keystile_format>,
    out_verifier: Option<&mut MaybeUninit<Option<Box<keystile_verifier>>>>,
) -> keystile_status {
    guard(|| {
        let (verifier, format) = (non_null(verifier)?, non_null(format)?);
        let verifier = keystile_verifier(verifier.0.clone().with_format(format.0.clone()));
        non_null(out_verifier)?.write(Some(Box::new(verifier)));
        Ok(())
    })
}

/// Decides about a presented key by its record. The returned status is the decision,
/// and there is no other: the request may go on only if it is `KEYSTILE_OK`.
///
/// `key`, `key_len`: the bytes as they were presented, of any length and content.
/// `record`: the result of a lookup by `keystile_key_lookup`; NULL if it found none.
/// `request`: what the caller wants to do.
/// `usage`: in: what the lineage has spent; out: what it has spent after this request.
/// Changed only if the request is allowed. Write it back with compare-and-set, so that
/// two decisions cannot spend the same use. For a record that counts its uses,
/// `has_remaining_uses` must be 1, also if none are left; see `keystile_record_usage`.
/// `now`: milliseconds since 1970.
/// `out_decision`: receives the details of an allow or a refusal. May be NULL.
///
/// Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, or an error, which does not
/// allow the request either; `KEYSTILE_ERROR_VALUE` if the usage does not count what the
/// record does.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_verify(
    verifier: Option<&keystile_verifier>,
    key: *const c_char,
    key_len: usize,
    record: Option<&keystile_record>,
    request: *const keystile_request<'_>,
    usage: Option<&mut keystile_usage>,
    now: u64,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
) -> keystile_status {
    guard_deciding(out_decision, |out_decision| {
        let (verifier, usage, now) = (&non_null(verifier)?.0, non_null(usage)?, instant(now)?);
        let (request, key) = (sized!(request)?, bytes!(key, key_len)?);
        let key = match verifier.parse(key) {
            Ok(key) => key,
            Err(denial) => return write_decision(&Decision::Deny(denial), out_decision),
        };
        request.ask(|request| {
            let record = record.map(|record| &record.0);
            let mut spent = usage.core_for(record)?;
            let decision = verify(verifier, &key, record, request, &mut spent, now);
            *usage = keystile_usage::of(&spent);
            write_decision(&decision, out_decision)
        })
    })
}

/// Frees a verifier; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_verifier_free(verifier: Option<Box<keystile_verifier>>) {
    release(verifier);
}
