//! How far a long command is, on a terminal.

use core::time::Duration;
use std::time::Instant;

use crate::io::Io;

/// How often it is said.
const EVERY: Duration = Duration::from_secs(2);

/// Says from time to time how many keys are done, if standard error is a terminal.
pub(crate) struct Progress {
    done: &'static str,
    last: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(done: &'static str, io: &Io<'_>) -> Self {
        Self {
            done,
            last: io.errors_are_terminal.then(Instant::now),
        }
    }

    pub(crate) fn show(&mut self, keys: u64, io: &mut Io<'_>) {
        if let Some(last) = &mut self.last
            && last.elapsed() >= EVERY
        {
            *last = Instant::now();
            io.note(&format!("keystile: {} {keys} keys so far", self.done));
        }
    }
}
