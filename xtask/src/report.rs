//! The outcome of each step, and the summary at the end of a run.

use core::fmt;

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
    outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    pub(crate) fn add(&mut self, step: &'static str, outcome: Outcome) {
        self.outcomes.push((step, outcome));
    }

    pub(crate) fn has_passed(&self, step: &str) -> bool {
        self.outcomes
            .iter()
            .any(|(name, outcome)| *name == step && *outcome == Outcome::Passed)
    }

    pub(crate) fn is_good(&self, require_all: bool) -> bool {
        self.outcomes.iter().all(|(_, outcome)| match outcome {
            Outcome::Passed => true,
            Outcome::Failed(_) => false,
            Outcome::Skipped(_) => !require_all,
        })
    }

    /// The last lines of a run: what passed, each failure and each skip with its reason,
    /// and on the last line only `N passed, N failed, N skipped`.
    pub(crate) fn closing(&self, require_all: bool) -> String {
        let (mut passed, mut failed, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (step, outcome) in &self.outcomes {
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
            "passed: {names}\n{}{}{refused}{} passed, {} failed, {} skipped\n",
            failed.concat(),
            skipped.concat(),
            passed.len(),
            failed.len(),
            skipped.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[(&'static str, Outcome)]) -> Report {
        Report {
            outcomes: outcomes.to_vec(),
        }
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
}
