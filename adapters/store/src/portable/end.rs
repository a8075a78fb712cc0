//! The last line of an export, which says how many there are.

use serde::{Deserialize, Serialize};

use super::line::VERSION;
use super::object::Object;

/// The last line of an export: how many lines it has before this one. Without it, a file that
/// was cut at the end of a line would look whole, and lack what a store remembers of removed
/// keys.
///
/// ```
/// use keystile_store::ExportEnd;
///
/// let end = ExportEnd::new(3, 1);
/// let text = end.to_text();
/// assert_eq!(text, r#"{"keystile_export":1,"end":{"keys":3,"removed_keys":1}}"#);
/// assert_eq!(ExportEnd::parse(text.as_bytes()), Some(end));
/// assert_eq!(ExportEnd::parse(br#"{"keystile_export":1,"end":{}}"#), None);
/// assert_eq!(ExportEnd::parse(br#"{"keystile_export":1,"end":[3,1]}"#), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExportEnd {
    /// The lines that are keys.
    pub keys: u64,
    /// The lines that are removed keys.
    pub removed_keys: u64,
}

#[derive(Serialize)]
struct EndLine {
    keystile_export: u32,
    end: ExportEnd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadEnd {
    keystile_export: u32,
    end: Object<ExportEnd>,
}

/// More than the longest.
const BYTES_MAX: usize = 200;

impl ExportEnd {
    /// The end of so many lines.
    #[must_use]
    pub const fn new(keys: u64, removed_keys: u64) -> Self {
        Self { keys, removed_keys }
    }

    /// The text of the line, without an end of line.
    #[must_use]
    pub fn to_text(self) -> String {
        let line = EndLine {
            keystile_export: VERSION,
            end: self,
        };
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// Reads a line; `None` if it is another one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = Some(line).filter(|line| line.len() <= BYTES_MAX)?;
        let Object(read): Object<ReadEnd> = serde_json::from_slice(line).ok()?;
        (read.keystile_export == VERSION).then_some(read.end.0)
    }

    pub(super) const fn lines(self) -> u64 {
        self.keys.saturating_add(self.removed_keys)
    }
}
