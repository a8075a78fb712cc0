//! Whether what is imported is a whole export.

use super::end::ExportEnd;

/// What the closing lines say of the lines before them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closing {
    /// The lines since the last closing line.
    unclosed: u64,
    is_closed: bool,
    /// Whether a closing line had other numbers than those before it.
    lacks_lines: bool,
}

impl Closing {
    pub(super) const fn line(&mut self) {
        self.unclosed = self.unclosed.saturating_add(1);
    }

    /// Whether the lines since the last closing line are those of this one.
    pub(super) fn end(&mut self, end: &ExportEnd) -> bool {
        let lines = core::mem::take(&mut self.unclosed);
        let is_same = end.lines() == lines;
        self.is_closed = true;
        self.lacks_lines |= !is_same;
        is_same
    }

    pub(super) const fn is_whole(self) -> bool {
        self.is_closed && !self.lacks_lines && self.unclosed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_their_closing_line_are_whole() {
        let mut closing = Closing::default();
        assert!(!closing.is_whole(), "nothing at all has no closing line");
        assert!(closing.end(&ExportEnd::new(0, 0)));
        assert!(closing.is_whole(), "an export of nothing is whole");
        closing.line();
        assert!(!closing.is_whole(), "a line after the closing one");
        assert!(closing.end(&ExportEnd::new(1, 0)));
        assert!(closing.is_whole());
        assert!(!closing.end(&ExportEnd::new(1, 0)), "a line is missing");
        assert!(!closing.is_whole());
        closing.line();
        assert!(closing.end(&ExportEnd::new(1, 0)));
        assert!(!closing.is_whole(), "what is missing stays missing");
    }
}
