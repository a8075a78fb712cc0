//! The C examples: they are compiled, run, and the service is asked over HTTP.

use crate::house::{Done, House};

/// Placeholder until the examples stand.
pub(crate) fn run(_: &House) -> Done {
    Ok(())
}
