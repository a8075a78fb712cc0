//! Which headers carried the key of a request.

/// The bit of `X-API-Key`.
pub(crate) const X_API_KEY: u16 = 1;
/// The bit of `Authorization`.
pub(crate) const AUTHORIZATION: u16 = 2;
/// The bit of the first other header; the next ones follow it.
pub(crate) const FIRST_OTHER: u16 = 4;

/// Which headers carried the key of a request, so that exactly those are kept from what comes
/// after; see [`CredentialSources::names_of`](crate::CredentialSources::names_of).
///
/// ```
/// use keystile::{CredentialExtractor, CredentialSources};
/// let sources = CredentialSources::new();
/// let extractor = CredentialExtractor::any_text(sources.clone());
/// let read = |headers: &[(&str, &str)]| {
///     let fields = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
///     extractor.extract(fields).unwrap().carriers()
/// };
/// let one = read(&[("X-API-Key", "k1"), ("Authorization", "Digest username=\"ops\"")]);
/// assert!(sources.names_of(one).eq(["X-API-Key"]), "the other is not taken off");
///
/// let mixed = read(&[("Authorization", "Bearer k1"), ("Authorization", "Negotiate x")]);
/// assert!(mixed.are_mixed(), "one of the two fields has to stay");
/// assert!(extractor.carries_key(b"authorization", b"Bearer k1"));
/// assert!(!extractor.carries_key(b"authorization", b"Negotiate x"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carriers {
    keys: u16,
    others: u16,
}

impl Carriers {
    /// Whether a header that carried the key also had a field without it, so that the header
    /// cannot be removed as a whole. Then
    /// [`CredentialExtractor::carries_key`](crate::CredentialExtractor::carries_key) tells the
    /// fields apart.
    #[must_use]
    pub const fn are_mixed(self) -> bool {
        self.keys & self.others != 0
    }

    /// A number for [`from_bits`](Self::from_bits), as a language binding keeps it.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        u32::from(self.keys) | u32::from(self.others) << 16
    }

    /// The carriers that [`to_bits`](Self::to_bits) returned.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let [a, b, c, d] = bits.to_le_bytes();
        Self {
            keys: u16::from_le_bytes([a, b]),
            others: u16::from_le_bytes([c, d]),
        }
    }

    pub(crate) const fn has(self, header: u16) -> bool {
        self.keys & header != 0
    }

    /// With a field of this header that carried the key.
    #[inline]
    pub(crate) const fn add_key(&mut self, header: u16) {
        self.keys |= header;
    }

    /// With a field of this header that did not.
    #[inline]
    pub(crate) const fn add_other(&mut self, header: u16) {
        self.others |= header;
    }
}
