//! Which HTTP statuses a service answers denials with.

/// Which status a denial is answered with.
///
/// ```
/// use keystile::{DenialCode, StatusPolicy};
/// let status = |code: DenialCode, policy| code.status(policy);
/// assert_eq!(status(DenialCode::KeyRevoked, StatusPolicy::Rfc9110), 401);
/// assert_eq!(status(DenialCode::KeyRevoked, StatusPolicy::Express), 403);
/// assert_eq!(status(DenialCode::MissingCredential, StatusPolicy::Express), 401);
/// ```
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
