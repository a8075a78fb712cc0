//! Which headers carry a credential.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::{CredentialExtractor, CredentialSources};

use crate::boundary::{begins_with_its_size, guard_or, list, non_null, release, sized, write_out};
use crate::decision::{guard_deciding, keystile_decision};
use crate::error::{Failure, OfField as _, guard_saying, keystile_error};
use crate::flags::flag;
use crate::status::keystile_status;
use crate::text::{keystile_str, texts};
use crate::verify::keystile_verifier;

/// The length of the longest credential in bytes.
pub const KEYSTILE_CREDENTIAL_BYTES_MAX: usize = 256;

/// Which headers carry a credential. Handle; it never changes, and threads may share it.
#[derive(Debug)]
pub struct keystile_credential_extractor(pub(crate) CredentialExtractor);

/// A header field of a request: any bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_header {
    /// Its name, in any case.
    pub name: keystile_str,
    /// Its value.
    pub value: keystile_str,
}

/// The bytes of a presented credential. Wipe it with `keystile_credential_wipe`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct keystile_credential {
    /// The number of bytes.
    pub len: usize,
    /// The bytes; they do not end in NUL.
    pub text: [c_char; KEYSTILE_CREDENTIAL_BYTES_MAX],
}

/// Which header fields carry a key. Fields left at zero are the defaults: `X-API-Key` and
/// `Authorization: Bearer`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct keystile_credential_sources {
    /// `sizeof(keystile_credential_sources)`.
    pub struct_size: usize,
    /// Further headers whose value is the key and nothing else; at most 8.
    pub headers: *const keystile_str,
    /// The number of headers.
    pub headers_len: usize,
    /// Further schemes of `Authorization`, such as `Api-Key`, in any case; at most 8.
    pub schemes: *const keystile_str,
    /// The number of schemes.
    pub schemes_len: usize,
    /// 1 to read the user name of `Authorization: Basic` too, otherwise 0.
    pub basic: u8,
    /// 1 to read only what is named here, otherwise 0.
    pub without_defaults: u8,
}

begins_with_its_size!(keystile_credential_sources);

/// Creates an extractor.
///
/// `verifier`: the formats of the keys, copied. A value that does not have the shape of one
/// of them is no key, but may be beside one. With NULL any visible text is a key.
/// `sources`: copied; NULL for the defaults.
/// `out_extractor`: receives a handle; free it with `keystile_credential_extractor_free`.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_NAME` for a header or scheme that cannot carry a
/// key, such as `Cookie` or `Basic`, and for a ninth one.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_credential_extractor_new(
    verifier: Option<&keystile_verifier>,
    sources: *const keystile_credential_sources,
    out_extractor: Option<&mut MaybeUninit<Option<Box<keystile_credential_extractor>>>>,
    out_error: Option<&mut MaybeUninit<keystile_error>>,
) -> keystile_status {
    guard_saying(out_error, || {
        let out_extractor = non_null(out_extractor)?;
        let sources = if sources.is_null() {
            CredentialSources::new()
        } else {
            sized!(sources)?.core()?
        };
        let extractor = match verifier {
            Some(verifier) => CredentialExtractor::new(sources, &verifier.0),
            None => CredentialExtractor::any_text(sources),
        };
        out_extractor.write(Some(Box::new(keystile_credential_extractor(extractor))));
        Ok(())
    })
}

/// Extracts the one credential from the headers of a request.
///
/// The same key twice counts as one. An empty value counts as none. A value that does not have
/// the shape of a key is ignored beside one that does.
///
/// Before a request is passed on, take off the fields that carried the key: those from which
/// this function, called with that field only, returns `KEYSTILE_OK`.
///
/// `headers`, `headers_len`: all header fields of the request, or at least those that
/// may carry a key. Include repeated fields.
/// `out_decision`: receives the refusal, for `keystile_respond`, if there is one. May
/// be NULL.
/// `out_credential`: receives the bytes if there is exactly one credential, otherwise zeros.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_DENIED_MISSING_CREDENTIAL`;
/// `KEYSTILE_DENIED_CONFLICTING_CREDENTIALS` for two different ones;
/// `KEYSTILE_DENIED_INVALID_KEY` if no value has the shape of a key. Then the decision's
/// cause is `KEYSTILE_CAUSE_ALIEN` if they all came in `Authorization`, which may carry other
/// tokens: do not count that as a guess.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_credential_extract(
    extractor: Option<&keystile_credential_extractor>,
    headers: *const keystile_header,
    headers_len: usize,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    out_credential: Option<&mut MaybeUninit<keystile_credential>>,
) -> keystile_status {
    let mut out_credential = out_credential;
    if let Some(slot) = &mut out_credential {
        // A refused request must not be judged by the credential of an earlier one.
        slot.write(keystile_credential::of(&[]));
    }
    guard_deciding(out_decision, |out_decision| {
        let (extractor, out_credential) = (&non_null(extractor)?.0, non_null(out_credential)?);
        let headers: Result<Vec<(&[u8], &[u8])>, _> = list!(headers, headers_len)?
            .iter()
            .map(keystile_header::bytes)
            .collect();
        match extractor.extract(headers?) {
            Ok(credential) => {
                out_credential.write(keystile_credential::of(credential.as_bytes()));
                write_out(out_decision, keystile_decision::NONE);
                Ok(())
            }
            Err(denial) => {
                write_out(out_decision, keystile_decision::refused(&denial));
                Err(keystile_status::from(&denial))
            }
        }
    })
}

/// Overwrites a credential with zeros; the compiler cannot remove this. NULL is
/// allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_credential_wipe(credential: Option<&mut keystile_credential>) {
    guard_or((), || {
        let credential = credential?;
        // The address escapes between the two lines, so the compiler must assume that
        // the zeros are read.
        credential.text.fill(0);
        credential.len = 0;
        core::hint::black_box(credential);
        None
    });
}

/// Frees an extractor; NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn keystile_credential_extractor_free(
    extractor: Option<Box<keystile_credential_extractor>>,
) {
    release(extractor);
}

impl keystile_credential_sources {
    fn core(&self) -> Result<CredentialSources, Failure> {
        let mut sources = match flag(self.without_defaults, "without_defaults")? {
            false => CredentialSources::new(),
            true => CredentialSources::none(),
        };
        let headers = list!(self.headers, self.headers_len).of_field("headers")?;
        for (index, name) in texts(headers, "headers")?.into_iter().enumerate() {
            sources = sources.with_header(name).map_err(|error| error.at(index))?;
        }
        let schemes = list!(self.schemes, self.schemes_len).of_field("schemes")?;
        for (index, name) in texts(schemes, "schemes")?.into_iter().enumerate() {
            sources = sources.with_scheme(name).map_err(|error| error.at(index))?;
        }
        Ok(match flag(self.basic, "basic")? {
            false => sources,
            true => sources.with_basic(),
        })
    }
}

impl keystile_header {
    fn bytes<'a>(&self) -> Result<(&'a [u8], &'a [u8]), keystile_status> {
        let name = non_null(self.name.bytes()?)?;
        Ok((name, self.value.bytes()?.unwrap_or_default()))
    }
}

impl keystile_credential {
    fn of(bytes: &[u8]) -> Self {
        let mut credential = Self {
            len: bytes.len().min(KEYSTILE_CREDENTIAL_BYTES_MAX),
            text: [0; KEYSTILE_CREDENTIAL_BYTES_MAX],
        };
        for (slot, byte) in credential.text.iter_mut().zip(bytes) {
            *slot = c_char::from_ne_bytes([*byte]);
        }
        credential
    }
}

impl core::fmt::Debug for keystile_credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("keystile_credential(..)")
    }
}
