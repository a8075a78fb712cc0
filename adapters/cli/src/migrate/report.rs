//! What a migration would do or has done, for people and for programs.

use keystile_store::{AdoptionPlan, AdoptionRefusal, Findings, Tables};
use serde::Serialize;

use super::tables_name;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::view::joined;

/// The output of `keystile migrate`.
#[derive(Default, Serialize)]
pub(super) struct Report {
    dry_run: bool,
    /// What the database held.
    tables: &'static str,
    steps: Vec<String>,
    problems: Vec<Problem>,
    rows: u64,
    inactive: u64,
    expired: u64,
    unreadable: Found<Damage>,
    wildcards: Found<i64>,
    metadata_endpoints: Found<i64>,
    infinite: Found<i64>,
    /// Why nothing was changed, or would be.
    refusals: Vec<&'static str>,
    /// The rows that were adopted; null if nothing was changed.
    adopted: Option<u64>,
    #[serde(skip)]
    is_done: bool,
}

#[derive(Serialize)]
struct Problem {
    table: String,
    column: Option<String>,
    found: String,
    expected: String,
    #[serde(skip)]
    text: String,
}

#[derive(Default, Serialize)]
struct Found<T> {
    count: u64,
    first: Vec<T>,
}

#[derive(Default, Serialize)]
struct Damage {
    row: i64,
    column: &'static str,
    expected: &'static str,
}

impl<T> Found<T> {
    fn of<F>(findings: &Findings<F>, view: impl Fn(&F) -> T) -> Self {
        Self {
            count: findings.count,
            first: findings.first.iter().map(view).collect(),
        }
    }
}

impl Report {
    /// A dry run for a file that does not exist.
    pub(super) fn of_new_file() -> Self {
        Self {
            dry_run: true,
            tables: tables_name(Tables::Empty),
            steps: vec!["create the file and its tables".to_owned()],
            ..Self::default()
        }
    }

    pub(super) fn of(plan: &AdoptionPlan, dry_run: bool, adopted: Option<u64>) -> Self {
        let problems = plan.problems.iter().map(|problem| Problem {
            table: problem.table.clone(),
            column: problem.column.clone(),
            found: problem.found.clone(),
            expected: problem.expected.clone(),
            text: problem.to_string(),
        });
        let row = |row: &i64| *row;
        Self {
            dry_run,
            tables: tables_name(plan.tables),
            steps: plan.steps.clone(),
            problems: problems.collect(),
            rows: plan.rows,
            inactive: plan.inactive,
            expired: plan.expired,
            unreadable: Found::of(&plan.unreadable, |damage| Damage {
                row: damage.row,
                column: damage.column,
                expected: damage.expected,
            }),
            wildcards: Found::of(&plan.wildcards, row),
            metadata_endpoints: Found::of(&plan.metadata_endpoints, row),
            infinite: Found::of(&plan.infinite, row),
            refusals: plan.refusals().into_iter().map(refusal_name).collect(),
            adopted,
            is_done: adopted.is_some(),
        }
    }

    pub(super) fn print(&self, json: bool, io: &mut Io<'_>) -> Result<Exit, Failure> {
        if json {
            io.json(self)?;
        } else {
            self.print_text(io)?;
        }
        Ok(match self.refusals.is_empty() {
            true => Exit::Done,
            false => Exit::Refused,
        })
    }

    fn print_text(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        if self.steps.is_empty() && self.problems.is_empty() {
            return io.line("the tables are up to date: nothing to do");
        }
        if !self.steps.is_empty() {
            io.line(if self.is_done { "done:" } else { "to do:" })?;
        }
        for step in &self.steps {
            io.line(&format!("  {step}"))?;
        }
        if self.rows > 0 {
            io.line(&format!("of {} rows:", self.rows))?;
        }
        for (count, text) in [
            (
                self.inactive,
                "are not active: their keys are revoked, for good",
            ),
            (self.expired, "have expired: from now on they are refused"),
        ] {
            if count > 0 {
                io.line(&format!("{count:>8} {text}"))?;
            }
        }
        self.print_findings(io)?;
        for problem in &self.problems {
            io.line(&problem.text)?;
        }
        if !self.refusals.is_empty() {
            io.note(
                "keystile: nothing was changed: correct what was found, or accept it with the \
                 options in parentheses",
            );
        } else if self.dry_run {
            io.note("keystile: nothing was changed: this was a dry run");
        }
        Ok(())
    }

    fn print_findings(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let count = self.unreadable.count;
        if count > 0 {
            let text = "cannot be read: their keys are refused (--accept-unreadable)";
            io.line(&format!("{count:>8} {text}"))?;
        }
        for damage in &self.unreadable.first {
            let Damage {
                row,
                column,
                expected,
            } = damage;
            let line = format!("         row {row}, column {column}: expected {expected}");
            io.line(&line)?;
        }
        for (found, text) in [
            (
                &self.wildcards,
                "have a * in their permissions, which is a wildcard from now on \
                 (--accept-wildcards)",
            ),
            (
                &self.metadata_endpoints,
                "have endpoint rules in their metadata, or metadata that is not JSON \
                 (--map-metadata enforces them, --ignore-metadata does not)",
            ),
            (
                &self.infinite,
                "have an expires_at of infinity (--infinity-is-never)",
            ),
        ] {
            if found.count == 0 {
                continue;
            }
            io.line(&format!("{:>8} {text}", found.count))?;
            let more = match u64::try_from(found.first.len()) {
                Ok(named) if named < found.count => ", …",
                _ => "",
            };
            let rows = joined(found.first.iter(), "none");
            io.line(&format!("         rows {rows}{more}"))?;
        }
        Ok(())
    }
}

const fn refusal_name(refusal: AdoptionRefusal) -> &'static str {
    match refusal {
        AdoptionRefusal::Table => "table",
        AdoptionRefusal::Unreadable => "unreadable",
        AdoptionRefusal::Wildcards => "wildcards",
        AdoptionRefusal::MetadataEndpoints => "metadata_endpoints",
        AdoptionRefusal::Infinity => "infinity",
        _ => "other",
    }
}
