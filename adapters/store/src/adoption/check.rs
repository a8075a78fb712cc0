//! What is checked while a plan is carried out: others may have changed the tables and the rows
//! since it was made.

use keystile::UnixMillis;

use super::{AdoptOptions, AdoptionPlan, AdoptionRefusal, TableProblem, refused};
use crate::error::StoreError;
use crate::tables::Tables;

/// What a step needs of its plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    tables: Tables,
    pub(crate) options: AdoptOptions,
    now: UnixMillis,
}

impl AdoptionPlan {
    pub(crate) const fn planned(&self) -> Planned {
        Planned {
            tables: self.tables,
            options: self.options,
            now: self.now,
        }
    }

    /// An error that names a row whose finding is not accepted.
    pub(crate) fn require_accepted_rows(&self) -> Result<(), StoreError> {
        let Some(refusal) = self.refusals().first().copied() else {
            return Ok(());
        };
        let found = match refusal {
            AdoptionRefusal::Wildcards => &self.wildcards,
            AdoptionRefusal::MetadataEndpoints => &self.metadata_endpoints,
            AdoptionRefusal::Infinity => &self.infinite,
            AdoptionRefusal::Unreadable | AdoptionRefusal::Table => {
                let Some(damage) = self.unreadable.first.first() else {
                    return self.require_accepted();
                };
                let (row, column, expected) = (damage.row, damage.column, damage.expected);
                return Err(refused(format!(
                    "row {row}, column {column}: expected {expected}; {SINCE}"
                )));
            }
        };
        match found.first.first() {
            Some(row) => Err(refused(format!("row {row}: {refusal}; {SINCE}"))),
            None => self.require_accepted(),
        }
    }
}

impl Planned {
    /// A plan for the rows of one batch.
    pub(crate) const fn rows(self) -> AdoptionPlan {
        AdoptionPlan::new(self.tables, self.options, self.now)
    }

    /// An error if the tables that are there have to be adopted, and were not when the plan was
    /// made: then it read neither their columns nor their rows. Or if they were, and are gone.
    pub(crate) fn require_tables(self, found: Tables) -> Result<(), StoreError> {
        let is_planned = match (self.tables, found) {
            (Tables::NotAdopted, Tables::NotAdopted | Tables::HalfAdopted)
            | (Tables::HalfAdopted, Tables::HalfAdopted) => true,
            (_, Tables::NotAdopted | Tables::HalfAdopted)
            | (Tables::NotAdopted | Tables::HalfAdopted, Tables::Empty | Tables::Others) => false,
            _ => true,
        };
        match is_planned {
            true => Ok(()),
            false => Err(refused(format!(
                "the tables are not those of the plan; {SINCE}"
            ))),
        }
    }

    /// An error that names the first problem of the table.
    pub(crate) fn require_no_problem(problems: &[TableProblem]) -> Result<(), StoreError> {
        match problems.first() {
            Some(problem) => Err(refused(problem.to_string())),
            None => Ok(()),
        }
    }
}

const SINCE: &str = "this changed after the plan was made: make a new one";
