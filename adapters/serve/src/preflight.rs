//! CORS preflights, which browsers send without a key before some requests.

use crate::problem::Problem;

/// Whether a location lets preflights pass.
///
/// # Errors
/// If the text is anything but `pass`: what is misspelt must not be left out.
pub(crate) fn is_passed(text: Option<&str>) -> Result<bool, Problem> {
    match text {
        None => Ok(false),
        Some("pass") => Ok(true),
        Some(_) => Err(Problem::invalid(
            "preflight must be pass; without it, preflights are refused.",
        )),
    }
}
