//! Lines of an import that wait for later ones.

use super::problem::LineProblem;
use super::report::{LineReport, LineResult};

/// The limit on the text of lines that wait.
const HELD_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// The lines that wait, with their numbers.
#[derive(Default)]
pub(super) struct Held {
    lines: Vec<(u64, Box<[u8]>)>,
    bytes: usize,
}

impl Held {
    pub(super) fn lines(&self) -> &[(u64, Box<[u8]>)] {
        &self.lines
    }

    /// Keeps a line if it waits. If too many do, it is refused instead.
    pub(super) fn hold(&mut self, report: &mut LineReport, text: &[u8]) {
        let LineResult::Waiting(problem) = &report.result else {
            return;
        };
        let bytes = self.bytes.saturating_add(text.len());
        if bytes > HELD_BYTES_MAX {
            let expected = format!(
                "{}; too many lines wait for others, so run the import again for this one",
                problem.expected
            );
            report.result = LineResult::Refused(LineProblem::new(problem.field, &expected));
            return;
        }
        self.bytes = bytes;
        self.lines.push((report.line, text.into()));
    }

    /// Keeps those that still wait, and returns their reports; the others are done.
    pub(super) fn keep(
        &mut self,
        held: Self,
        reports: Vec<LineReport>,
        done: &mut Vec<LineReport>,
    ) -> Vec<LineReport> {
        let mut waiting = Vec::new();
        for ((number, text), report) in held.lines.into_iter().zip(reports) {
            if matches!(report.result, LineResult::Waiting(_)) {
                self.bytes = self.bytes.saturating_add(text.len());
                self.lines.push((number, text));
                waiting.push(report);
            } else {
                done.push(report);
            }
        }
        waiting
    }
}

impl LineResult {
    /// What becomes of a line that waits if nothing follows.
    pub(super) fn at_last(self) -> Self {
        match self {
            Self::Waiting(problem) if problem.field == "remaining_uses" => Self::Conflict(problem),
            Self::Waiting(problem) => Self::Refused(problem),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_megabytes_wait_and_no_more() {
        let mut held = Held::default();
        let text = vec![b'x'; 1_024 * 1_024];
        for line in 1..=64 {
            let mut report = waiting(line);
            held.hold(&mut report, &text);
            assert!(
                matches!(report.result, LineResult::Waiting(_)),
                "line {line}"
            );
        }
        assert_eq!(held.lines().len(), 64);
        let mut report = waiting(65);
        held.hold(&mut report, b"x");
        let refused = report.result.problem().unwrap();
        assert!(matches!(report.result, LineResult::Refused(_)));
        assert!(
            refused.expected.contains("run the import again"),
            "{refused:?}"
        );
        assert_eq!(held.lines().len(), 64);
    }

    fn waiting(line: u64) -> LineReport {
        let problem = LineProblem::new("derived_from", "must be stored");
        LineReport {
            line,
            key_id: None,
            result: LineResult::Waiting(problem),
        }
    }
}
