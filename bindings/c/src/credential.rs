//! Which headers carry a credential.

use core::ffi::c_char;
use core::mem::MaybeUninit;

use keystile::CredentialExtractor;

use crate::boundary::{guard, guard_or, list, non_null, release, text, write_out};
use crate::decision::keystile_decision;
use crate::status::keystile_status;
use crate::text::keystile_str;

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

/// Creates an extractor. `X-API-Key` and `Authorization: Bearer` are always read.
///
/// `header`, `header_len`: a further header to read; NULL and 0 for none.
/// `basic`: 1 to read the user name of `Authorization: Basic` too, otherwise 0.
/// `out_extractor`: receives a handle; free it with `keystile_credential_extractor_free`.
///
/// Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NAME`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_credential_extractor_new(
    header: *const c_char,
    header_len: usize,
    basic: u8,
    out_extractor: Option<&mut MaybeUninit<Option<Box<keystile_credential_extractor>>>>,
) -> keystile_status {
    guard(|| {
        let out_extractor = non_null(out_extractor)?;
        let header_is_null = header.is_null();
        let (header, mut extractor) = (text!(header, header_len)?, CredentialExtractor::new());
        if !header_is_null {
            extractor = extractor.with_header(header)?;
        }
        if basic != 0 {
            extractor = extractor.with_basic();
        }
        out_extractor.write(Some(Box::new(keystile_credential_extractor(extractor))));
        Ok(())
    })
}

/// Extracts the one credential from the headers of a request.
///
/// The same key twice counts as one. An empty value counts as none.
///
/// `headers`, `headers_len`: all header fields of the request, or at least those that
/// may carry a key. Include repeated fields.
/// `out_decision`: receives the refusal, for `keystile_respond`, if there is one. May
/// be NULL.
/// `out_credential`: receives the bytes if there is exactly one credential.
///
/// Returns `KEYSTILE_OK`; `KEYSTILE_DENIED_MISSING_CREDENTIAL`;
/// `KEYSTILE_DENIED_CONFLICTING_CREDENTIALS` for two different ones;
/// `KEYSTILE_DENIED_INVALID_KEY` for a value that is too long or has bytes that are not
/// visible ASCII.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystile_credential_extract(
    extractor: Option<&keystile_credential_extractor>,
    headers: *const keystile_header,
    headers_len: usize,
    out_decision: Option<&mut MaybeUninit<keystile_decision>>,
    out_credential: Option<&mut MaybeUninit<keystile_credential>>,
) -> keystile_status {
    guard(|| {
        let (extractor, out_credential) = (&non_null(extractor)?.0, non_null(out_credential)?);
        let headers: Result<Vec<(&[u8], &[u8])>, _> = list!(headers, headers_len)?
            .iter()
            .map(keystile_header::bytes)
            .collect();
        match extractor.extract(headers?) {
            Ok(credential) => {
                out_credential.write(keystile_credential::of(credential.as_bytes()));
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
