//! `cargo xtask ratios`: the cost of a check compared with its alternatives, as ratios within
//! one run.
//!
//! It runs the benchmarks, divides medians, prints a table, and writes `benches/ratios.json`,
//! the chart `docs/images/ratios.svg` and the table in `docs/benchmarks.md`. Times differ between machines;
//! ratios within a run differ less. A figure that misses its target is marked and reported,
//! and does not make the command fail: benchmarks are not tests.

mod chart;
mod figures;
mod medians;

use std::fs;

use serde_json::{Value, json};

use crate::workspace::{TaskResult, Workspace, succeeds};
use figures::{FIGURES, Figure};
use medians::Medians;

/// The limit on keys in a quick run: ten million take minutes and gigabytes.
const QUICK_KEYS_MAX: &str = "100000";
const JSON: &str = "benches/ratios.json";
const SVG: &str = "docs/images/ratios.svg";
const PAGE: &str = "docs/benchmarks.md";
/// The text before and after the table in the page.
const TABLE: (&str, &str) = ("<!-- cargo xtask ratios -->\n```text\n", "```\n");

/// Runs the benchmarks and writes the figures; a quick run only prints them.
pub(crate) fn run(workspace: &Workspace, quick: bool) -> TaskResult {
    let mut medians = Medians::default();
    medians.bench(workspace, "core", &[])?;
    let fewer = [("KEYSTILE_BENCH_KEYS_MAX", QUICK_KEYS_MAX)];
    medians.bench(workspace, "keyring", if quick { &fewer } else { &[] })?;
    if succeeds(workspace.command("node").arg("--version")) {
        medians.node(workspace)?;
    } else {
        println!("node is not installed: its figures are left out");
    }

    let rows: Vec<Row> = FIGURES
        .iter()
        .filter_map(|figure| Row::of(figure, &medians))
        .collect();
    print!("\n{}", table(&rows));
    if quick {
        return Ok(());
    }
    let rows_json: Vec<Value> = rows.iter().map(Row::json).collect();
    let text = format!("{:#}\n", json!({ "ratios": rows_json }));
    fs::write(workspace.path(JSON), text).map_err(|error| format!("{JSON}: {error}"))?;
    chart::draw(&workspace.path(SVG), &rows).map_err(|error| format!("{SVG}: {error}"))?;
    let page = workspace.path(PAGE);
    let text = fs::read_to_string(&page).map_err(|error| format!("{PAGE}: {error}"))?;
    let (before, _, after) = around_table(&text)?;
    fs::write(&page, [before, &table(&rows), after].concat())
        .map_err(|error| format!("{PAGE}: {error}"))?;
    println!("\nwritten: {JSON}, {SVG}, {PAGE}");
    Ok(())
}

/// The page up to its table, the table, and the rest.
fn around_table(page: &str) -> Result<(&str, &str, &str), String> {
    let (start, end) = TABLE;
    let found = page.find(start).and_then(|at| {
        let (before, rest) = page.split_at_checked(at.saturating_add(start.len()))?;
        let (table, after) = rest.split_at_checked(rest.find(end)?)?;
        Some((before, table, after))
    });
    found.ok_or_else(|| format!("{PAGE}: expected {start:?} and after it {end:?}"))
}

/// A figure and its value in this run.
pub(crate) struct Row {
    pub(crate) figure: &'static Figure,
    pub(crate) value: f64,
}

impl Row {
    /// `None` if the run had no such benchmark.
    fn of(figure: &'static Figure, medians: &Medians) -> Option<Self> {
        let value = figure.value(medians)?;
        Some(Self { figure, value })
    }

    fn json(&self) -> Value {
        json!({
            "name": self.figure.name,
            "value": shown(self.value).parse::<f64>().unwrap_or(self.value),
            "target": self.figure.target.map(|target| target.to_string()),
            "met": self.is_met(),
        })
    }

    /// Whether it is within its target; true if it has none.
    fn is_met(&self) -> Option<bool> {
        Some(self.figure.target?.is_satisfied_by(self.value))
    }
}

fn table(rows: &[Row]) -> String {
    let widths = rows.iter().map(|row| row.figure.name.chars().count());
    let width = widths.max().unwrap_or(0);
    let mut text = format!("{:width$}  {:>8}  floor\n", "name", "ratio");
    for row in rows {
        let target = row.figure.target.map(|target| target.to_string());
        let missed = if row.is_met() == Some(false) {
            "  missed"
        } else {
            ""
        };
        let line = format!(
            "{:width$}  {:>8}  {}{missed}",
            row.figure.name,
            shown(row.value),
            target.unwrap_or_default()
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Three significant digits.
pub(crate) fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn medians() -> Medians {
        Medians::of(&[
            ("hot_path/warm_allow", 90.0),
            ("hot_path/sha256_one_shot", 100.0),
            ("hot_path/reject_typo", 30.0),
            ("threads/many_keys/1", 100.0),
            ("threads/many_keys/2", 106.0),
        ])
    }

    fn rows() -> Vec<Row> {
        let medians = medians();
        let rows = FIGURES
            .iter()
            .filter_map(|figure| Row::of(figure, &medians));
        rows.collect()
    }

    #[test]
    fn what_the_run_did_not_measure_is_no_row() {
        assert_eq!(rows().len(), 3);
    }

    #[test]
    fn a_missed_target_is_marked_and_a_met_one_is_not() {
        let text = table(&rows());
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("warm allow / SHA-256").ends_with("0.90  at most 0.8  missed"));
        assert!(line("typo / SHA-256").ends_with("0.30  at most 0.35"));
    }

    #[test]
    fn threads_compare_checks_per_second() {
        let text = table(&rows());
        assert!(text.contains("1.89  at least 1.8\n"), "{text}");
    }

    #[test]
    fn no_two_figures_have_the_same_name() {
        let names: HashSet<&str> = FIGURES.iter().map(|figure| figure.name).collect();
        assert_eq!(names.len(), FIGURES.len());
    }

    #[test]
    fn the_page_quotes_what_was_measured() {
        let workspace = Workspace::here();
        let page = fs::read_to_string(workspace.path(PAGE)).unwrap();
        let (_, quoted, _) = around_table(&page).unwrap();
        let json = fs::read_to_string(workspace.path(JSON)).unwrap();
        let json: Value = serde_json::from_str(&json).unwrap();
        let measured = json["ratios"].as_array().unwrap();
        // The first line names the columns.
        let lines: Vec<&str> = quoted.lines().skip(1).collect();
        assert_eq!(lines.len(), measured.len());
        for (line, row) in lines.iter().zip(measured) {
            let value = shown(row["value"].as_f64().unwrap());
            assert!(line.starts_with(row["name"].as_str().unwrap()), "{line}");
            assert!(line.split_whitespace().any(|word| word == value), "{line}");
            assert_eq!(line.ends_with("missed"), row["met"] == false, "{line}");
        }
    }

    #[test]
    fn three_digits_count() {
        for (value, expected) in [
            (0.04567, "0.046"),
            (0.456, "0.46"),
            (3.0, "3.00"),
            (45.67, "45.7"),
            (1234.5, "1234"),
        ] {
            assert_eq!(shown(value), expected);
        }
    }
}
