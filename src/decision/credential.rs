//! The bytes of a presented credential.

use core::fmt;

#[cfg(feature = "basic")]
use zeroize::Zeroize;

use crate::decision::carriers::Carriers;
#[cfg(feature = "basic")]
use crate::key::format::KEY_TEXT_BYTES_MAX;

/// The bytes of a presented credential, which it never prints.
///
/// ```
/// use keystile::{Cause, CredentialExtractor, CredentialSources};
/// let extractor = CredentialExtractor::any_text(CredentialSources::new());
/// let credential = extractor.extract([(&b"x-api-key"[..], &b"acme_live_1AbC"[..])]).unwrap();
/// assert_eq!(credential.as_bytes(), b"acme_live_1AbC");
/// assert!(!format!("{credential:?}").contains("acme_live"));
/// let refused = extractor.extract([(&b"x-api-key"[..], &b"two words"[..])]).unwrap_err();
/// assert_eq!(refused.cause(), Cause::Malformed);
/// ```
pub struct Credential<'h> {
    bytes: Bytes<'h>,
    carriers: Carriers,
}

#[cfg_attr(
    feature = "basic",
    expect(
        clippy::large_enum_variant,
        reason = "a decision makes no heap allocation"
    )
)]
enum Bytes<'h> {
    Borrowed(&'h [u8]),
    #[cfg(feature = "basic")]
    Decoded {
        bytes: [u8; KEY_TEXT_BYTES_MAX],
        len: usize,
    },
}

impl<'h> Credential<'h> {
    #[inline]
    pub(crate) const fn borrowed(bytes: &'h [u8], carriers: Carriers) -> Self {
        Self {
            bytes: Bytes::Borrowed(bytes),
            carriers,
        }
    }

    /// A copy of a text that was decoded, or `None` if it is too long for a key.
    #[cfg(feature = "basic")]
    pub(crate) fn decoded(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; KEY_TEXT_BYTES_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        let len = text.len();
        Some(Self {
            bytes: Bytes::Decoded { bytes, len },
            carriers: Carriers::default(),
        })
    }

    #[cfg(feature = "basic")]
    pub(crate) fn with_carriers(mut self, carriers: Carriers) -> Self {
        self.carriers = carriers;
        self
    }

    /// The bytes, for [`Verifier::parse`](crate::Verifier::parse).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Borrowed(bytes) => bytes,
            #[cfg(feature = "basic")]
            Bytes::Decoded { bytes, len } => bytes.get(..*len).unwrap_or_default(),
        }
    }

    /// Which headers carried it, for
    /// [`CredentialSources::names_of`](crate::CredentialSources::names_of).
    #[must_use]
    pub const fn carriers(&self) -> Carriers {
        self.carriers
    }
}

#[cfg(feature = "basic")]
impl Drop for Credential<'_> {
    fn drop(&mut self) {
        if let Bytes::Decoded { bytes, .. } = &mut self.bytes {
            bytes.zeroize();
        }
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}
