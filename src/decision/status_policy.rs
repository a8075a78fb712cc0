//! Which HTTP statuses a service answers denials with.

/// Which status a denial is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatusPolicy {
    /// As RFC 9110 has it: 401 for a key that is not valid, 403 for a valid key that lacks a
    /// right.
    #[default]
    Rfc9110,
    /// As the well-known Express recipe has it: 403 for an unknown or ended key.
    Express,
}
