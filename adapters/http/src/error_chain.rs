//! An error and its sources, in one line for the log.

use core::error::Error;
use core::fmt;

/// Prints an error and all its sources, separated by colons.
///
/// ```
/// use keystile_http::ErrorChain;
/// use keystile_store::StoreError;
/// let failure = StoreError::unavailable(std::io::Error::other("connection refused"));
/// assert!(ErrorChain(&failure).to_string().ends_with(": connection refused"));
/// ```
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is a view of one error")]
pub struct ErrorChain<'e>(pub &'e dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
