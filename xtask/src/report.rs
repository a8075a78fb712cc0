//! The outcome of each step, and the summary at the end of a run.

use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;

/// The outcome of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        })
    }
}

/// The outcomes so far, in the order of the steps.
#[derive(Debug, Default)]
pub(crate) struct Report {
    outcomes: Vec<(&'static str, Outcome, Duration)>,
}

impl Report {
    pub(crate) fn add(&mut self, step: &'static str, outcome: Outcome, took: Duration) {
        self.outcomes.push((step, outcome, took));
    }

    pub(crate) fn has_passed(&self, step: &str) -> bool {
        self.outcomes
            .iter()
            .any(|(name, outcome, _)| *name == step && *outcome == Outcome::Passed)
    }

    pub(crate) fn is_good(&self, require_all: bool) -> bool {
        self.outcomes.iter().all(|(_, outcome, _)| match outcome {
            Outcome::Passed => true,
            Outcome::Failed(_) => false,
            Outcome::Skipped(_) => !require_all,
        })
    }

    /// The last lines of a run: how long the steps took, the longest first, what passed, each
    /// failure and each skip with its reason, and on the last line only
    /// `N passed, N failed, N skipped`.
    pub(crate) fn closing(&self, require_all: bool) -> String {
        let (mut passed, mut failed, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (step, outcome, _) in &self.outcomes {
            match outcome {
                Outcome::Passed => passed.push(*step),
                Outcome::Failed(reason) => failed.push(format!("failed: {step}: {reason}\n")),
                Outcome::Skipped(reason) => skipped.push(format!("skipped: {step}: {reason}\n")),
            }
        }
        let names = if passed.is_empty() {
            "nothing".to_owned()
        } else {
            passed.join(", ")
        };
        let refused = if require_all && !skipped.is_empty() {
            "--require-all: no step may be skipped\n"
        } else {
            ""
        };
        format!(
            "{}passed: {names}\n{}{}{refused}{} passed, {} failed, {} skipped\n",
            self.times(),
            failed.concat(),
            skipped.concat(),
            passed.len(),
            failed.len(),
            skipped.len(),
        )
    }

    /// A line of the steps that took a second or more, or nothing if there is none.
    fn times(&self) -> String {
        let mut times: Vec<_> = self.outcomes.iter().collect();
        times.sort_by_key(|(_, _, took)| Reverse(*took));
        let times: Vec<_> = times
            .iter()
            .filter(|(_, _, took)| took.as_secs() > 0)
            .map(|(step, _, took)| format!("{step} {} s", took.as_secs()))
            .collect();
        if times.is_empty() {
            String::new()
        } else {
            format!("took: {}\n", times.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[(&'static str, Outcome)]) -> Report {
        let mut report = Report::default();
        for (step, outcome) in outcomes {
            report.add(step, outcome.clone(), Duration::ZERO);
        }
        report
    }

    #[test]
    fn all_passed() {
        let report = report(&[("fmt", Outcome::Passed), ("tests", Outcome::Passed)]);
        assert_eq!(
            report.closing(true),
            "passed: fmt, tests\n2 passed, 0 failed, 0 skipped\n"
        );
        assert!(report.is_good(false) && report.is_good(true));
    }

    #[test]
    fn a_skip_is_named_and_fails_only_if_all_steps_are_required() {
        let skipped = Outcome::Skipped("cargo-fuzz is not installed".to_owned());
        let report = report(&[("fmt", Outcome::Passed), ("fuzz", skipped)]);
        assert_eq!(
            report.closing(false),
            "passed: fmt\n\
             skipped: fuzz: cargo-fuzz is not installed\n\
             1 passed, 0 failed, 1 skipped\n"
        );
        assert!(report.is_good(false));
        assert!(!report.is_good(true));
        assert!(
            report
                .closing(true)
                .contains("\n--require-all: no step may be skipped\n")
        );
        assert!(
            report
                .closing(true)
                .ends_with("\n1 passed, 0 failed, 1 skipped\n")
        );
    }

    #[test]
    fn only_a_step_that_ran_without_failure_has_passed() {
        let skipped = Outcome::Skipped("cargo-fuzz is not installed".to_owned());
        let failed = Outcome::Failed("exit status: 101".to_owned());
        let report = report(&[
            ("fmt", Outcome::Passed),
            ("fuzz", skipped),
            ("tests", failed),
        ]);
        assert!(report.has_passed("fmt"));
        for step in ["fuzz", "tests", "clippy"] {
            assert!(!report.has_passed(step), "{step}");
        }
    }

    #[test]
    fn a_failure_always_fails() {
        let report = report(&[("tests", Outcome::Failed("exit status: 101".to_owned()))]);
        assert_eq!(
            report.closing(false),
            "passed: nothing\nfailed: tests: exit status: 101\n0 passed, 1 failed, 0 skipped\n"
        );
        assert!(!report.is_good(false) && !report.is_good(true));
    }

    #[test]
    fn the_longest_steps_come_first() {
        let mut report = Report::default();
        for (step, seconds) in [("fmt", 0.4), ("docs", 3.9), ("tests", 400.0)] {
            report.add(step, Outcome::Passed, Duration::from_secs_f64(seconds));
        }
        let closing = report.closing(false);
        assert!(
            closing.starts_with("took: tests 400 s, docs 3 s\npassed: "),
            "{closing}"
        );
    }
}
