//! Replays the terminal sessions of a page: the same commands print what the page shows, with
//! other ids, dates and digests.

use core::time::Duration;

use super::expected::is_shown;
use super::page::{Marker, Page};
use super::shell::Script;
use crate::workspace::{TaskResult, Workspace};

/// Printed before the output of each command.
const SEPARATOR: char = '\u{1e}';
const SESSION_TIME_MAX: Duration = Duration::from_secs(60);
const ID_LENGTH: usize = 16;
const DIGEST_LENGTH: usize = 64;

/// Whether the sessions of a page are replayed.
pub(crate) fn is_replayed(page: &Page) -> bool {
    page.path.starts_with("docs/concepts/") && !commands(page).is_empty()
}

/// A command of a session, and the lines that the page shows after it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: String,
}

/// Runs all sessions of a page in one shell, over a new store.
pub(crate) fn replay(workspace: &Workspace, page: &Page) -> TaskResult {
    println!("-- {}", page.path);
    let steps = commands(page);
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let script = Script {
        text: &script(&steps)?,
        folder: folder.path(),
        programs: workspace.target_path("debug"),
        variables: Vec::new(),
        time_max: SESSION_TIME_MAX,
        log: folder.path().join("log"),
    };
    let (status, printed) = script.run()?;
    if !status.success() {
        return Err(format!("bash: {status}: {printed}"));
    }
    let expected: Vec<String> = steps.iter().map(|step| step.shown.clone()).collect();
    let found: Vec<String> = printed
        .split(SEPARATOR)
        .skip(1)
        .map(str::to_owned)
        .collect();
    let (expected, found) = (placeholders(&expected), placeholders(&found));
    for (index, step) in steps.iter().enumerate() {
        let (Some(expected), Some(found)) = (expected.get(index), found.get(index)) else {
            return Err(format!("`{}` did not run", step.command));
        };
        if !is_shown(expected, found) {
            return Err(format!(
                "`{}`: expected\n{expected}\nand found\n{found}",
                step.command
            ));
        }
    }
    Ok(())
}

fn commands(page: &Page) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let sessions = page
        .blocks
        .iter()
        .filter(|block| block.language == "console");
    for block in sessions.filter(|block| block.marker == Marker::None) {
        let mut continues = false;
        for line in block.text.lines() {
            let first = line.strip_prefix("$ ");
            match (first, steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    shown: String::new(),
                }),
                (None, Some(step)) if continues => {
                    step.command.push('\n');
                    step.command.push_str(line);
                }
                (None, Some(step)) => {
                    step.shown.push_str(line);
                    step.shown.push('\n');
                }
                (None, None) => {}
            }
            continues = line.ends_with('\\') && (first.is_some() || continues);
        }
    }
    steps
}

/// The commands. An id in one of them is the id that this run printed in the same place.
fn script(steps: &[Step]) -> Result<String, String> {
    let mut script = format!(
        "id() {{ grep -owE '1[0-9A-Za-z]{{15}}' log | awk '!seen[$0]++' | sed -n \"$1p\"; }}\n\
         printf '{SEPARATOR}'\n"
    );
    let mut seen: Vec<String> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let mut command = step.command.clone();
        for id in words(&step.command).into_iter().filter(|word| is_id(word)) {
            let number = seen.iter().position(|known| known == id);
            let number = number.ok_or_else(|| format!("no output shows the id {id} before"))?;
            command = command.replace(id, &format!("$(id {})", number.saturating_add(1)));
        }
        for id in words(&step.shown).into_iter().filter(|word| is_id(word)) {
            if !seen.iter().any(|known| known == id) {
                seen.push(id.to_owned());
            }
        }
        script.push_str(&command);
        if index.saturating_add(1) < steps.len() {
            script.push_str(&format!("\nprintf '{SEPARATOR}'"));
        }
        script.push('\n');
    }
    script.push_str("true\n");
    Ok(script)
}

/// Texts with numbered ids, and without dates and digests.
fn placeholders(texts: &[String]) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let replaced = |text: &String| {
        let mut result = text.clone();
        for word in words(text) {
            let name = if is_id(word) {
                if !seen.iter().any(|known| known == word) {
                    seen.push(word.to_owned());
                }
                let number = seen
                    .iter()
                    .position(|known| known == word)
                    .unwrap_or_default();
                // As long as an id, so that columns stay aligned.
                format!("{:16}", format!("id-{number}"))
            } else if is_date(word) {
                "a-date".to_owned()
            } else if is_digest(word) {
                "a-digest".to_owned()
            } else {
                continue;
            };
            result = result.replace(word, &name);
        }
        result
    };
    texts.iter().map(replaced).collect()
}

/// Parts of a text that may be an id, a date or a digest.
fn words(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':');
    text.split(|c| !is_part(c)).collect()
}

/// The shape of an id; its first character is the version of the format.
fn is_id(word: &str) -> bool {
    let is_base62 = word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    word.len() == ID_LENGTH && word.starts_with('1') && is_base62
}

fn is_date(word: &str) -> bool {
    let shape: String = word
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape == "0000-00-00T00:00:00Z"
}

fn is_digest(word: &str) -> bool {
    word.len() == DIGEST_LENGTH && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(session: &str) -> Page {
        let text = format!("```console\n{session}```\n");
        Page::parse("docs/concepts/a.md", text)
    }

    /// The shell makes an id of one letter; the page shows that of another run.
    const SESSION: &str = "$ echo issued 1$(printf B%.0s {1..15}) at \\\n  2026-01-01T00:00:00Z\n\
        issued 1AAAAAAAAAAAAAAA at 2030-02-02T10:00:00Z\n$ false\n$ echo 1AAAAAAAAAAAAAAA\n\
        1AAAAAAAAAAAAAAA\n";

    #[test]
    fn a_session_is_commands_and_what_they_print() {
        let steps = commands(&page(SESSION));
        assert_eq!(steps.len(), 3);
        assert!(steps[0].command.ends_with("\\\n  2026-01-01T00:00:00Z"));
        assert_eq!(steps[2].shown, "1AAAAAAAAAAAAAAA\n");
    }

    #[test]
    fn ids_and_dates_may_differ_and_nothing_else() {
        let replayed = |session: &str| replay(&Workspace::here(), &page(session));
        assert_eq!(replayed(SESSION), Ok(()));
        for (from, to) in [
            ("echo issued", "echo revoked"),
            ("$ false", "$ echo more"),
            ("$ echo 1AAAAAAAAAAAAAAA", "$ echo 1CCCCCCCCCCCCCCC"),
        ] {
            assert!(replayed(&SESSION.replace(from, to)).is_err(), "{from}");
        }
    }
}
