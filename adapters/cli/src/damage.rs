//! Damaged rows, which a list names and passes.

use keystile_serve::DamageView;
use keystile_store::CorruptRow;
use serde::Serialize;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;

/// The damaged rows of a list, which are named at its end.
#[derive(Default)]
pub(crate) struct Damage {
    /// At most [`NAMED_MAX`].
    rows: Vec<CorruptRow>,
    more: u64,
}

/// How many rows are named; of any others, only their number is.
const NAMED_MAX: usize = 1_000;

/// The last line of a list in JSON, if rows are damaged.
#[derive(Serialize)]
struct DamageLine {
    damaged: Vec<DamageView>,
}

impl Damage {
    pub(crate) fn add(&mut self, rows: Vec<CorruptRow>) {
        for row in rows {
            if self.rows.len() < NAMED_MAX {
                self.rows.push(row);
            } else {
                self.more = self.more.saturating_add(1);
            }
        }
    }

    /// Names the rows on standard error, and in JSON as the last line of the output.
    pub(crate) fn report(self, config: &Config, io: &mut Io<'_>) -> Result<Exit, Failure> {
        let exit = self.name(io);
        if config.json && exit == Exit::Damaged {
            let damaged = self.rows.iter().map(DamageView::new).collect();
            io.json(&DamageLine { damaged })?;
        }
        Ok(exit)
    }

    /// Names the rows on standard error only.
    pub(crate) fn name(&self, io: &mut Io<'_>) -> Exit {
        for row in &self.rows {
            io.note(&note(row));
        }
        if self.more > 0 {
            io.note(&format!("keystile: {} more rows are damaged", self.more));
        }
        match self.rows.is_empty() {
            true => Exit::Done,
            false => Exit::Damaged,
        }
    }
}

/// The line about a damaged row on standard error.
pub(crate) fn note(row: &CorruptRow) -> String {
    format!("keystile: the store contains a damaged row: {row}")
}
